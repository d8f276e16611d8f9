// @ts-check
/**
 * What goes over the wire in messaging, as types. There is no code here. The reference is docs/reference/im.md; times
 * are milliseconds since 1970.
 *
 * @module yizhan/im/types
 */

/** @typedef {'direct' | 'group' | 'channel' | 'room'} ConversationKind */
/** @typedef {'owner' | 'admin' | 'member'} Role */
/** @typedef {'web' | 'ios' | 'android' | 'desktop' | 'other'} Platform */
/** @typedef {'all' | 'mentions' | 'none'} Notify Which messages should ring. */
/**
 * @typedef {'text' | 'image' | 'voice' | 'video' | 'file' | 'location' | 'card' | 'custom' | 'forward' | 'merged' | 'command'} ContentKind
 */
/**
 * What is sent. Only what belongs to the kind is used; the server fills in what it knows of a file.
 * @typedef {object} Content
 * @property {ContentKind} kind
 * @property {string} [id] The client's own id; made up where it is left out.
 * @property {string} [text] A text, or what is said beside a file.
 * @property {number} [reply] The number of the message that this one answers.
 * @property {number} [thread] The number of the message whose thread this one belongs to.
 * @property {string[]} [mentions]
 * @property {boolean} [mention_all]
 * @property {boolean} [mention_here] All who are online.
 * @property {'low' | 'normal' | 'high'} [priority]
 * @property {number} [burn_s] Seconds from reading until it is gone.
 * @property {number} [expires_s] Seconds from sending until it is gone.
 * @property {string} [file] A file's id.
 * @property {string} [name]
 * @property {FileFacts} [facts] What the server has found out about the file.
 * @property {number[]} [waveform] Of a voice message: at most 128 numbers from 0 to 100.
 * @property {string} [type] The type of a custom message.
 * @property {number} [latitude]
 * @property {number} [longitude]
 * @property {string} [address]
 * @property {string} [user] Whose card it is.
 * @property {any} [data]
 * @property {string} [conversation] Where a forwarded message is from.
 * @property {number} [seq] Which one a forwarded message is.
 * @property {Origin} [origin] What was forwarded.
 * @property {string} [title] Of merged messages.
 * @property {(Origin | {conversation: string, seq: number})[]} [items]
 */
/**
 * What the server has found out about a file by looking into it.
 * @typedef {object} FileFacts
 * @property {number} bytes
 * @property {string} type Its media type.
 * @property {number} [width]
 * @property {number} [height]
 * @property {boolean} [thumb] There is a small picture of it.
 * @property {string} [blur] A few colours to show until the picture is there (a BlurHash).
 * @property {number} [duration_ms]
 */
/** @typedef {{from: string, at: number, content: Content}} Origin A message elsewhere, as a copy. */
/** @typedef {{emoji: string, count: number, mine?: boolean, users?: string[]}} Reaction `users` are the first five. */
/**
 * @typedef {object} Message
 * @property {string} conversation
 * @property {number} seq Its number in the conversation: 1, 2, 3, …
 * @property {number} at
 * @property {string} from
 * @property {string} [device]
 * @property {Content} [content] Recalled ones have none.
 * @property {{at: number, count: number}} [edited]
 * @property {{by: string, at: number}} [recalled]
 * @property {Reaction[]} [reactions]
 * @property {{by: string, at: number}} [pinned]
 * @property {{count: number, newest: number}} [thread]
 */
/** @typedef {{user: string, read?: number, delivered?: number}} Cursor How far somebody is. */
/**
 * A conversation as I see it.
 * @typedef {object} Entry
 * @property {string} id
 * @property {string} topic
 * @property {ConversationKind} kind
 * @property {string} title
 * @property {string} [avatar]
 * @property {string} [peer] The other one of a direct conversation.
 * @property {number} members
 * @property {number} newest The newest message's number.
 * @property {number} changed The newest change's number.
 * @property {number} version
 * @property {number} active_at
 * @property {Message} [last]
 * @property {number} unread
 * @property {number} mentions Unread messages that mention me.
 * @property {number} read How far I have read.
 * @property {Role} [role]
 * @property {number} [pinned_at]
 * @property {Notify} [notify]
 * @property {number} [notify_until]
 * @property {boolean} [marked_unread]
 * @property {string} [draft]
 * @property {boolean} [hidden]
 * @property {number} [muted_until]
 * @property {boolean} [mute_all]
 * @property {string} [announcement]
 * @property {Cursor[]} [cursors] Everybody's, where there are at most 100 members.
 * @property {Info} [info] Only where one conversation was asked for.
 */
/**
 * @typedef {object} Info
 * @property {string} [about]
 * @property {string} [announcement]
 * @property {'invite' | 'request' | 'open'} [join]
 * @property {boolean} [public]
 * @property {string} [handle]
 * @property {string} [owner]
 * @property {number} [created_at]
 * @property {boolean} [mute_all]
 * @property {'all' | 'joined'} [history] Whether new members see what was before them.
 * @property {'all' | 'admins'} [mention_all]
 * @property {'all' | 'admins'} [invite]
 * @property {Record<string, any>} [attributes]
 */
/**
 * @typedef {object} Member
 * @property {string} user
 * @property {string} [nick]
 * @property {Role} role
 * @property {number} joined_at
 * @property {number} [muted_until]
 * @property {Record<string, any>} [attributes]
 */
/**
 * Something that changed; `event` says what, the other fields depend on it.
 * @typedef {Record<string, any> & {event: string, by?: string, at?: number, seq?: number, after?: number}} Change
 */
/**
 * @typedef {object} Profile
 * @property {string} user
 * @property {string} [name]
 * @property {string} [avatar]
 * @property {string} [about]
 * @property {string} [handle]
 * @property {string} [remark] What I call them.
 * @property {boolean} [friend]
 * @property {boolean} [blocked]
 * @property {Record<string, any>} [attributes]
 */
/**
 * @typedef {object} Presence
 * @property {string} user
 * @property {boolean} online
 * @property {'online' | 'away' | 'busy' | 'invisible' | 'offline'} [show]
 * @property {{text?: string, emoji?: string, until?: number}} [status]
 * @property {number} [last_seen]
 * @property {Platform[]} [platforms]
 */
/** @typedef {{session: string, device?: string, platform: Platform, since: number, self?: boolean}} Device */
/**
 * @typedef {object} CreateOptions
 * @property {'group' | 'channel' | 'room'} kind
 * @property {string} title
 * @property {string} [about]
 * @property {string} [avatar]
 * @property {string[]} [members]
 * @property {'invite' | 'request' | 'open'} [join]
 * @property {boolean} [public]
 * @property {string} [handle]
 * @property {Record<string, any>} [attributes]
 */
/**
 * @typedef {object} UpdateOptions
 * @property {string} [title]
 * @property {string} [about]
 * @property {string} [avatar]
 * @property {string} [announcement]
 * @property {'invite' | 'request' | 'open'} [join]
 * @property {boolean} [public]
 * @property {string} [handle]
 * @property {boolean} [mute_all]
 * @property {'all' | 'joined'} [history]
 * @property {'all' | 'admins'} [mention_all]
 * @property {'all' | 'admins'} [invite]
 * @property {Record<string, any>} [attributes]
 */
/**
 * My own about a conversation.
 * @typedef {object} Settings
 * @property {boolean} [pinned]
 * @property {Notify} [notify]
 * @property {number} [notify_until]
 * @property {string} [draft]
 * @property {boolean} [hidden]
 * @property {boolean} [marked_unread]
 */
/**
 * @typedef {object} SearchOptions
 * @property {string} text
 * @property {string} [conversation]
 * @property {string} [from]
 * @property {ContentKind[]} [kinds]
 * @property {number} [since]
 * @property {number} [until]
 * @property {string | number} [before] Where an earlier answer's `next` says.
 * @property {number} [limit]
 * @property {string} [order]
 */
/** @typedef {{message: Message, snippet: string, marks: [number, number][]}} Hit `marks` count as JavaScript's strings do. */
/** @typedef {{hits: Hit[], total: number, next?: string | number}} Hits */
/** @typedef {{read: number, delivered: number, members: number, users: string[], next?: string}} Receipts */

export {};
