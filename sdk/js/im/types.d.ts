export type ConversationKind = "direct" | "group" | "channel" | "room";
export type Role = "owner" | "admin" | "member";
export type Platform = "web" | "ios" | "android" | "desktop" | "other";
/**
 * Which messages should ring.
 */
export type Notify = "all" | "mentions" | "none";
export type ContentKind = "text" | "image" | "voice" | "video" | "file" | "location" | "card" | "custom" | "forward" | "merged" | "command";
/**
 * What is sent. Only what belongs to the kind is used; the server fills in what it knows of a file.
 */
export type Content = {
    kind: ContentKind;
    /**
     * The client's own id; made up where it is left out.
     */
    id?: string | undefined;
    /**
     * A text, or what is said beside a file.
     */
    text?: string | undefined;
    /**
     * The number of the message that this one answers.
     */
    reply?: number | undefined;
    /**
     * The number of the message whose thread this one belongs to.
     */
    thread?: number | undefined;
    mentions?: string[] | undefined;
    mention_all?: boolean | undefined;
    /**
     * All who are online.
     */
    mention_here?: boolean | undefined;
    priority?: "normal" | "high" | "low" | undefined;
    /**
     * Seconds from reading until it is gone.
     */
    burn_s?: number | undefined;
    /**
     * Seconds from sending until it is gone.
     */
    expires_s?: number | undefined;
    /**
     * A file's id.
     */
    file?: string | undefined;
    name?: string | undefined;
    /**
     * What the server has found out about the file.
     */
    facts?: FileFacts | undefined;
    /**
     * Of a voice message: at most 128 numbers from 0 to 100.
     */
    waveform?: number[] | undefined;
    /**
     * The type of a custom message.
     */
    type?: string | undefined;
    latitude?: number | undefined;
    longitude?: number | undefined;
    address?: string | undefined;
    /**
     * Whose card it is.
     */
    user?: string | undefined;
    data?: any;
    /**
     * Where a forwarded message is from.
     */
    conversation?: string | undefined;
    /**
     * Which one a forwarded message is.
     */
    seq?: number | undefined;
    /**
     * What was forwarded.
     */
    origin?: Origin | undefined;
    /**
     * Of merged messages.
     */
    title?: string | undefined;
    items?: (Origin | {
        conversation: string;
        seq: number;
    })[] | undefined;
};
/**
 * What the server has found out about a file by looking into it.
 */
export type FileFacts = {
    bytes: number;
    /**
     * Its media type.
     */
    type: string;
    width?: number | undefined;
    height?: number | undefined;
    /**
     * There is a small picture of it.
     */
    thumb?: boolean | undefined;
    /**
     * A few colours to show until the picture is there (a BlurHash).
     */
    blur?: string | undefined;
    duration_ms?: number | undefined;
};
/**
 * A message elsewhere, as a copy.
 */
export type Origin = {
    from: string;
    at: number;
    content: Content;
};
/**
 * `users` are the first five.
 */
export type Reaction = {
    emoji: string;
    count: number;
    mine?: boolean;
    users?: string[];
};
export type Message = {
    conversation: string;
    /**
     * Its number in the conversation: 1, 2, 3, …
     */
    seq: number;
    at: number;
    from: string;
    device?: string | undefined;
    /**
     * Recalled ones have none.
     */
    content?: Content | undefined;
    edited?: {
        at: number;
        count: number;
    } | undefined;
    recalled?: {
        by: string;
        at: number;
    } | undefined;
    reactions?: Reaction[] | undefined;
    pinned?: {
        by: string;
        at: number;
    } | undefined;
    thread?: {
        count: number;
        newest: number;
    } | undefined;
};
/**
 * How far somebody is.
 */
export type Cursor = {
    user: string;
    read?: number;
    delivered?: number;
};
/**
 * A conversation as I see it.
 */
export type Entry = {
    id: string;
    topic: string;
    kind: ConversationKind;
    title: string;
    avatar?: string | undefined;
    /**
     * The other one of a direct conversation.
     */
    peer?: string | undefined;
    members: number;
    /**
     * The newest message's number.
     */
    newest: number;
    /**
     * The newest change's number.
     */
    changed: number;
    version: number;
    active_at: number;
    last?: Message | undefined;
    unread: number;
    /**
     * Unread messages that mention me.
     */
    mentions: number;
    /**
     * How far I have read.
     */
    read: number;
    role?: Role | undefined;
    pinned_at?: number | undefined;
    notify?: Notify | undefined;
    notify_until?: number | undefined;
    marked_unread?: boolean | undefined;
    draft?: string | undefined;
    hidden?: boolean | undefined;
    muted_until?: number | undefined;
    mute_all?: boolean | undefined;
    announcement?: string | undefined;
    /**
     * Everybody's, where there are at most 100 members.
     */
    cursors?: Cursor[] | undefined;
    /**
     * Only where one conversation was asked for.
     */
    info?: Info | undefined;
};
export type Info = {
    about?: string | undefined;
    announcement?: string | undefined;
    join?: "open" | "request" | "invite" | undefined;
    public?: boolean | undefined;
    handle?: string | undefined;
    owner?: string | undefined;
    created_at?: number | undefined;
    mute_all?: boolean | undefined;
    /**
     * Whether new members see what was before them.
     */
    history?: "all" | "joined" | undefined;
    mention_all?: "all" | "admins" | undefined;
    invite?: "all" | "admins" | undefined;
    attributes?: Record<string, any> | undefined;
};
export type Member = {
    user: string;
    nick?: string | undefined;
    role: Role;
    joined_at: number;
    muted_until?: number | undefined;
    attributes?: Record<string, any> | undefined;
};
/**
 * Something that changed; `event` says what, the other fields depend on it.
 */
export type Change = Record<string, any> & {
    event: string;
    by?: string;
    at?: number;
    seq?: number;
    after?: number;
};
export type Profile = {
    user: string;
    name?: string | undefined;
    avatar?: string | undefined;
    about?: string | undefined;
    handle?: string | undefined;
    /**
     * What I call them.
     */
    remark?: string | undefined;
    friend?: boolean | undefined;
    blocked?: boolean | undefined;
    attributes?: Record<string, any> | undefined;
};
export type Presence = {
    user: string;
    online: boolean;
    show?: "offline" | "online" | "away" | "busy" | "invisible" | undefined;
    status?: {
        text?: string;
        emoji?: string;
        until?: number;
    } | undefined;
    last_seen?: number | undefined;
    platforms?: Platform[] | undefined;
};
export type Device = {
    session: string;
    device?: string;
    platform: Platform;
    since: number;
    self?: boolean;
};
export type CreateOptions = {
    kind: "group" | "channel" | "room";
    title: string;
    about?: string | undefined;
    avatar?: string | undefined;
    members?: string[] | undefined;
    join?: "open" | "request" | "invite" | undefined;
    public?: boolean | undefined;
    handle?: string | undefined;
    attributes?: Record<string, any> | undefined;
};
export type UpdateOptions = {
    title?: string | undefined;
    about?: string | undefined;
    avatar?: string | undefined;
    announcement?: string | undefined;
    join?: "open" | "request" | "invite" | undefined;
    public?: boolean | undefined;
    handle?: string | undefined;
    mute_all?: boolean | undefined;
    history?: "all" | "joined" | undefined;
    mention_all?: "all" | "admins" | undefined;
    invite?: "all" | "admins" | undefined;
    attributes?: Record<string, any> | undefined;
};
/**
 * My own about a conversation.
 */
export type Settings = {
    pinned?: boolean | undefined;
    notify?: Notify | undefined;
    notify_until?: number | undefined;
    draft?: string | undefined;
    hidden?: boolean | undefined;
    marked_unread?: boolean | undefined;
};
export type SearchOptions = {
    text: string;
    conversation?: string | undefined;
    from?: string | undefined;
    kinds?: ContentKind[] | undefined;
    since?: number | undefined;
    until?: number | undefined;
    /**
     * Where an earlier answer's `next` says.
     */
    before?: string | number | undefined;
    limit?: number | undefined;
    order?: string | undefined;
};
/**
 * `marks` count as JavaScript's strings do.
 */
export type Hit = {
    message: Message;
    snippet: string;
    marks: [number, number][];
};
export type Hits = {
    hits: Hit[];
    total: number;
    next?: string | number;
};
export type Receipts = {
    read: number;
    delivered: number;
    members: number;
    users: string[];
    next?: string;
};
