/**
 * One exchange of four times: the client's when it asked and when the answer came, the server's in between
 * (RFC 5905 §8). All in ms.
 * @param {number} t1 @param {number} t2 @param {number} t3 @param {number} t4 @returns {TimeSample}
 */
export function timeSample(t1: number, t2: number, t3: number, t4: number): TimeSample;
/** The sample that went round quickest, so the one with the least error. @param {TimeSample[]} samples */
export function bestSample(samples: TimeSample[]): TimeSample;
/**
 * Seconds to wait before an attempt: doubling, at most `max`, and never two clients alike. A number of seconds in
 * `again` comes on top, so that it is never undercut.
 * @param {number} attempt 0, 1, 2, …  @param {Again} again  @param {{first: number, max: number}} bounds
 * @param {() => number} random
 */
export function backoff(attempt: number, again: Again, bounds: {
    first: number;
    max: number;
}, random: () => number): number;
/**
 * Connects to a server, and keeps the connection.
 * @param {string | URL} url `http://localhost:8080`; in a browser `''` means where the page came from.
 * @param {ConnectOptions} [options]
 */
export function connect(url: string | URL, options?: ConnectOptions): Client;
/** Codes that this client gives itself; all others are the protocol's error and close codes. */
export const CODES: Readonly<{
    /** The client was closed, or the connection ended before an answer came. */
    CLOSED: 900;
    /** Too many publishes wait for an answer. */
    QUEUE_FULL: 901;
    /** The message expired before it could be sent. */
    EXPIRED: 902;
    /** No answer in time. */
    TIMEOUT: 903;
    /** No connection could be made. */
    UNREACHABLE: 904;
    /** The command is larger than the frame that the server takes. */
    TOO_LARGE: 114;
}>;
/** Something was refused, or could not be done. */
export class YizhanError extends Error {
    /** @param {number} code @param {string} reason @param {Again} [again] */
    constructor(code: number, reason: string, again?: Again);
    /** An error or close code of the protocol, or one of `CODES`. */
    code: number;
    reason: string;
    /** Whether and when to try again: `never`, `soon`, or a number of seconds. */
    again: Again;
}
/**
 * Something with events. A listener that throws does not disturb the others.
 * @template E
 */
export class Emitter<E> {
    /**
     * Calls `listener` at each such event, until the function that is returned is called.
     * @template {keyof E} K
     * @param {K} name @param {(event: E[K]) => void} listener @returns {() => void}
     */
    on<K extends keyof E>(name: K, listener: (event: E[K]) => void): () => void;
    /** @template {keyof E} K @param {K} name @param {(event: E[K]) => void} listener */
    off<K extends keyof E>(name: K, listener: (event: E[K]) => void): void;
    /** @template {keyof E} K @param {K} name */
    listens<K extends keyof E>(name: K): boolean;
    /** Calls the listeners. @template {keyof E} K @param {K} name @param {E[K]} event */
    emit<K extends keyof E>(name: K, event: E[K]): void;
    #private;
}
/** A record that waits, and by which of the subscription's beginnings its number counts. @typedef {{record: DeliveredRecord, round: number}} Item */
/**
 * What a subscription needs from the client, and the client from it.
 * @typedef {{handle: (item: Item) => void, drop: () => void}} Outside
 * @typedef {{hand: (item: Item) => void, lose: (missed: number, n: number) => void, begun: () => void,
 *   stateEnded: () => void, end: (error?: YizhanError) => void}} Inside
 */
/**
 * Records of a topic or filter, as an async iterator or as events, made by {@link Client.subscribe}.
 *
 * Records wait here until somebody takes them. With the iterator, a record counts as handled when the next one is
 * asked for; with a listener, when it returns. A client that handles slowly gets no more than `window` ahead.
 * Leaving the loop unsubscribes.
 *
 * @extends {Emitter<SubscriptionEvents>}
 */
export class Subscription extends Emitter<SubscriptionEvents> {
    /** @param {string} filter @param {number} buffer @param {(inside: Inside) => Outside} attach */
    constructor(filter: string, buffer: number, attach: (inside: Inside) => Outside);
    /** The topic or filter. */
    filter: string;
    /** How many records were lost in all; a loss of unknown number counts as one. */
    lost: number;
    /** Settled when the server has it the first time, or refuses it. @type {Promise<void>} */
    ready: Promise<void>;
    /** Ends it: loops end, nothing more comes, what waits is forgotten. */
    unsubscribe(): void;
    /** @returns {AsyncIterableIterator<DeliveredRecord, undefined>} */
    [Symbol.asyncIterator](): AsyncIterableIterator<DeliveredRecord, undefined>;
    #private;
}
/**
 * A command that waits for its answer.
 * @typedef {object} Request
 * @property {Frame} command
 * @property {string} text The command as it is sent.
 * @property {(answer: Frame) => void} resolve
 * @property {(error: YizhanError) => void} reject
 * @property {'hello' | 'subscribe' | 'publish' | 'read' | 'once'} kind What becomes of it when the connection drops:
 *   a publish and a read are sent again, the others are not.
 * @property {boolean} sent
 * @property {number} [until] When a publish expires, ms.
 * @property {ReturnType<typeof setTimeout>} [timer]
 */
/**
 * A session with a server: connects by itself, and again when the connection drops. Made by {@link connect}.
 * @extends {Emitter<ClientEvents>}
 */
export class Client extends Emitter<ClientEvents> {
    /** @param {string | URL} url @param {ConnectOptions} [options] */
    constructor(url: string | URL, options?: ConnectOptions);
    /** Settled by the first welcome, or when the client is closed before it. @type {Promise<Welcome>} */
    ready: Promise<Welcome>;
    /** @returns {Status} */
    get status(): Status;
    /** Which transport is in use. @returns {Transport | undefined} */
    get transport(): Transport | undefined;
    /** Who the server says we are; `undefined` before the first welcome. */
    get user(): string | undefined;
    /** What the server calls this device, where it has a name. */
    get device(): string | undefined;
    /** The session's number. */
    get session(): string | undefined;
    /** Where the server is, without a slash at its end. */
    get url(): string;
    /** What an HTTP request to the server shows as its `Authorization`; `undefined` before the first welcome. */
    get authorization(): string | undefined;
    /** How the server's clock stands to ours; `undefined` until it was read. */
    get clock(): TimeSample | undefined;
    /** The server's time, ms since 1970. Our own until the server's was read. */
    serverTime(): number;
    /**
     * Hears a topic or filter. Works offline, too: it begins with the next connection.
     * @param {string} filter @param {SubscribeOptions} [options]
     */
    subscribe(filter: string, options?: SubscribeOptions): Subscription;
    /**
     * Sends a message. Offline it waits, in order; after a drop it is sent again, and the server knows it by its `mid`.
     * @param {string} topic
     * @param {unknown} [body] Text as it is, bytes as they are (ArrayBuffer or a view), nothing for `undefined`, all
     *   else as JSON.
     * @param {PublishOptions} [options]
     * @returns {Promise<Receipt>} When it is as safe as the receipt says. Need not be waited for.
     */
    publish(topic: string, body?: unknown, options?: PublishOptions): Promise<Receipt>;
    /** One page of a topic's past. @param {string} topic @param {HistoryOptions} [options] @returns {Promise<Page>} */
    history(topic: string, { before, after, since, limit }?: HistoryOptions): Promise<Page>;
    /**
     * A topic's past, page by page: back in time from `before` or the newest, or forward where `after` or `since` is
     * given. Each page is oldest first.
     * @param {string} topic @param {HistoryOptions} [options] @returns {AsyncGenerator<StoredRecord[], void>}
     */
    pages(topic: string, options?: HistoryOptions): AsyncGenerator<StoredRecord[], void>;
    /** The newest record of each key of these topics. @param {string} filter @returns {Promise<StoredRecord[]>} */
    state(filter: string): Promise<StoredRecord[]>;
    /**
     * Asks a service of the server, such as `im/list`.
     * @param {string} name @param {Record<string, any>} [data]
     * @param {{once?: boolean}} [options] `once`: fails with code 900 where the connection breaks before the answer, for
     *   what must not be done twice. Otherwise it is asked again.
     * @returns {Promise<any>}
     */
    ask(name: string, data?: Record<string, any>, { once }?: {
        once?: boolean;
    }): Promise<any>;
    /** Who listens to a topic, or which sessions a user has. @param {{topic: string} | {user: string}} of @returns {Promise<Present[]>} */
    presence(of: {
        topic: string;
    } | {
        user: string;
    }): Promise<Present[]>;
    /**
     * Reads the server's clock: several exchanges, of which the quickest counts. Done by itself at each connection and
     * every 15 minutes.
     * @returns {Promise<TimeSample>}
     */
    readTime(): Promise<TimeSample>;
    /** Comes back at once where it waits for its next attempt; where it is connected, sees whether that is still true. */
    retry(): void;
    /** Says goodbye: the session ends, and everything that waits for an answer is rejected with code 900. */
    close(): void;
    #private;
}
/**
 * Whether and when to try once more: a number is seconds.
 */
export type Again = "never" | "soon" | number;
export type Transport = "websocket" | "sse" | "poll";
/**
 * `connecting`: on the way, or saying hello. `open`: commands go out at once. `waiting`: will try again by itself.
 * `closed`: for good.
 */
export type Status = "connecting" | "open" | "waiting" | "closed";
/**
 * What `token` and `ticket` may be: a text, or a function that gets one. The function is called before the first
 * connection and again when the server says that the token has expired (`expired` is true then).
 */
export type Secret = string | ((why: {
    expired: boolean;
}) => string | Promise<string>);
export type ConnectOptions = {
    /**
     * A personal or API token, or a JWT.
     */
    token?: Secret | undefined;
    /**
     * A one-time ticket. As a function it is called for every connection.
     */
    ticket?: Secret | undefined;
    /**
     * An account's name; with `password`. Only WebSocket can carry these two.
     */
    user?: string | undefined;
    password?: string | undefined;
    /**
     * A name for this device, at most 64 bytes.
     */
    device?: string | undefined;
    /**
     * Seconds that the session outlives its connection. Default 120.
     */
    keep?: number | undefined;
    /**
     * Default: what `navigator.connection` says, else `wifi`.
     */
    network?: "wifi" | "cellular" | "iot" | undefined;
    /**
     * Published by the server when this session ends without `close()`. Only over WebSocket.
     */
    will?: Will | undefined;
    /**
     * Which to use, best first. Default: all that this platform has.
     */
    transports?: Transport[] | undefined;
    /**
     * Seconds before the first new attempt (0.5), and at most (30).
     */
    backoff?: {
        first?: number;
        max?: number;
    } | undefined;
    /**
     * What to do with publishes that are not answered yet.
     */
    queue?: QueueOptions | undefined;
    /**
     * Seconds until history, state, presence and time are given up. Default 30.
     */
    timeout?: number | undefined;
    /**
     * Seconds on a fall-back until WebSocket is tried again. Default 60, then longer.
     */
    upgradeAfter?: number | undefined;
    /**
     * A WebSocket class to use instead of the global one (Node 20: npm `ws`).
     */
    WebSocket?: any;
    /**
     * An EventSource class, for platforms whose `fetch` cannot stream.
     */
    EventSource?: any;
    /**
     * Instead of the global one.
     */
    fetch?: typeof fetch | undefined;
    /**
     * Instead of `Math.random`, for tests.
     */
    random?: (() => number) | undefined;
};
export type QueueOptions = {
    /**
     * Publishes without an answer, offline or not. Default 10,000.
     */
    max?: number | undefined;
    /**
     * What happens beyond that: the new one is refused (default), or the
     * oldest one that was not sent yet is given up. Either way its promise is rejected with code 901.
     */
    policy?: "refuse" | "drop-oldest" | undefined;
};
export type Will = PublishOptions & {
    topic: string;
    text?: string;
    data?: unknown;
    bin?: string;
};
export type PublishOptions = {
    /**
     * Makes it a keyed record: the newest one of each key is the topic's state.
     */
    key?: string | undefined;
    /**
     * The message's own id, at most 128 bytes. Made up if left out, so that sending again is safe.
     */
    mid?: string | undefined;
    /**
     * Together at most 8 KiB.
     */
    headers?: Record<string, string> | undefined;
    /**
     * Seconds that it is worth delivering; counts from now, also while offline.
     */
    expires?: number | undefined;
    /**
     * Refuse (312) where the space promises less.
     */
    durable?: "none" | "memory" | "disk" | undefined;
    /**
     * The media type of a text or of bytes.
     */
    content?: string | undefined;
    /**
     * How surely MQTT clients get it, at most. Default 2: they decide.
     */
    qos?: 0 | 2 | 1 | undefined;
    /**
     * Seconds that it waits in the server before it is published; its receipt has no place then.
     */
    delay?: number | undefined;
};
export type Receipt = {
    /**
     * Its number within the topic, in spaces that keep.
     */
    seq?: number | undefined;
    /**
     * Its position, in spaces that keep.
     */
    pos?: string | undefined;
    /**
     * When the server took it, ms since 1970.
     */
    at: number;
    /**
     * How safe it is.
     */
    durable: "none" | "memory" | "disk";
    /**
     * It had been published before with the same `mid`.
     */
    duplicate: boolean;
};
/**
 * A message with its place. Its body is one of `text`, `data`, `bin`, or empty.
 */
export type StoredRecord = {
    topic: string;
    /**
     * Its number within the topic: 1, 2, 3, …
     */
    seq?: number | undefined;
    /**
     * Its position in the journal.
     */
    pos?: string | undefined;
    /**
     * When the server took it, ms since 1970.
     */
    at: number;
    /**
     * Who published it.
     */
    from?: string | undefined;
    /**
     * On which device.
     */
    device?: string | undefined;
    /**
     * In which session.
     */
    session?: string | undefined;
    text?: string | undefined;
    data?: any;
    bin?: Uint8Array<ArrayBufferLike> | undefined;
    content?: string | undefined;
    key?: string | undefined;
    headers?: Record<string, string> | undefined;
    /**
     * ms since 1970.
     */
    expires_at?: number | undefined;
};
/**
 * What a subscription hands out.
 */
export type Delivered = {
    /**
     * Its number among this subscription's deliveries; counts anew where the session could not go on.
     */
    n: number;
    /**
     * How many were lost just before it: 0, a number, or −1 for "some, perhaps".
     */
    missed: number;
    /**
     * Whether it belongs to the state that came first.
     */
    state: boolean;
};
export type DeliveredRecord = StoredRecord & Delivered;
/**
 * At most one of `after`, `seq` and `last`. Without any: from now on.
 */
export type SubscribeOptions = {
    /**
     * Begin after these positions, one per lane.
     */
    after?: string | string[] | undefined;
    /**
     * Begin after this number of the one topic.
     */
    seq?: number | undefined;
    /**
     * Begin with the newest so many of the one topic, at most 1,000.
     */
    last?: number | undefined;
    /**
     * First the newest record of each key.
     */
    state?: boolean | undefined;
    /**
     * Deliveries under way that were not handled, 1 to 10,000. Default 256. 0: no limit.
     */
    window?: number | undefined;
    /**
     * Not what this client publishes itself.
     */
    noLocal?: boolean | undefined;
    /**
     * Records that wait for a slow reader here; beyond it the oldest are dropped and
     * counted as missed. Default 10,000; only reached with `window: 0`.
     */
    buffer?: number | undefined;
};
export type HistoryOptions = {
    /**
     * Only those with a smaller `seq`.
     */
    before?: number | undefined;
    /**
     * Only those with a greater `seq`.
     */
    after?: number | undefined;
    /**
     * Only those since this time, ms.
     */
    since?: number | undefined;
    /**
     * In one page: 1 to 1,000, default 50.
     */
    limit?: number | undefined;
};
/**
 * Oldest first.
 */
export type Page = {
    records: StoredRecord[];
    more: boolean;
    missed: number;
};
export type Present = {
    user: string;
    device?: string;
    session: string;
    door: string;
    since: number;
};
/**
 * Both in ms.
 */
export type TimeSample = {
    offset: number;
    roundTrip: number;
};
/**
 * `missed` is −1 where the number is not known.
 */
export type Missed = {
    missed: number;
    n: number;
};
export type StatusEvent = {
    status: Status;
    /**
     * Which one is in use or being tried.
     */
    transport?: Transport | undefined;
    /**
     * While `waiting`: seconds until the next attempt.
     */
    retryIn?: number | undefined;
    /**
     * Why the connection ended.
     */
    error?: YizhanError | undefined;
};
export type Welcome = {
    session: string;
    user?: string | undefined;
    device?: string | undefined;
    resumed: boolean;
    heartbeat?: number | undefined;
    server?: string | undefined;
    at?: number | undefined;
};
export type ClientEvents = {
    status: StatusEvent;
    /**
     * Connected, or connected again.
     */
    welcome: Welcome;
    /**
     * A subscription lost records.
     */
    missed: Missed & {
        subscription: Subscription;
    };
    /**
     * The server's clock was read.
     */
    time: TimeSample;
    /**
     * Something went wrong; the client goes on if it can.
     */
    error: YizhanError;
    /**
     * The end, with the reason unless `close()` was called.
     */
    close: YizhanError | undefined;
};
export type SubscriptionEvents = {
    record: DeliveredRecord;
    missed: Missed;
    /**
     * The state is complete.
     */
    state: Subscription;
    /**
     * The server has it. Comes again where the session was lost.
     */
    subscribed: Subscription;
    end: YizhanError | undefined;
};
/**
 * One JSON object from or to the server.
 */
export type Frame = Record<string, any>;
/**
 * Why a link ended. `told`: a server of ours said so. `network`: another transport would end the same way.
 */
export type End = {
    code: number;
    reason?: string;
    again?: unknown;
    told?: boolean;
    network?: boolean;
};
/**
 * What a transport needs to know.
 */
export type At = {
    /**
     * `http://host:port/path`, no slash at its end.
     */
    base: string;
    shown: {
        token?: string;
        ticket?: string;
    };
    /**
     * What a hello would say.
     */
    about: {
        device?: string;
        network: string;
    };
    /**
     * Of the same transport only.
     */
    resume: {
        place: string;
        session: string;
        secret: string;
    } | undefined;
    WebSocket: any;
    EventSource: any;
    fetch: typeof fetch;
};
/**
 * What a transport tells. Nothing comes after `ended`, and nothing at all after the link was closed from here.
 */
export type LinkEvents = {
    /**
     * Commands can be sent (`greets`), or the server greets by itself.
     */
    opened: () => void;
    /**
     * A frame.
     */
    text: (text: string) => void;
    /**
     * The server is alive.
     */
    heard: () => void;
    ended: (end: End) => void;
};
export type Link = {
    transport: Transport;
    /**
     * Whether `hello` has to be said.
     */
    greets: boolean;
    /**
     * Whether silence means that the connection is dead.
     */
    audible: boolean;
    send: (text: string) => void;
    /**
     * Who we are, for commands beside the stream.
     */
    admit: (session: string, secret: string) => void;
    /**
     * Where to go on with this transport.
     */
    place: () => string | undefined;
    /**
     * Perhaps with a last frame.
     */
    close: (last?: string) => void;
};
/**
 * A record that waits, and by which of the subscription's beginnings its number counts.
 */
export type Item = {
    record: DeliveredRecord;
    round: number;
};
/**
 * What a subscription needs from the client, and the client from it.
 */
export type Outside = {
    handle: (item: Item) => void;
    drop: () => void;
};
/**
 * What a subscription needs from the client, and the client from it.
 */
export type Inside = {
    hand: (item: Item) => void;
    lose: (missed: number, n: number) => void;
    begun: () => void;
    stateEnded: () => void;
    end: (error?: YizhanError) => void;
};
/**
 * A command that waits for its answer.
 */
export type Request = {
    command: Frame;
    /**
     * The command as it is sent.
     */
    text: string;
    resolve: (answer: Frame) => void;
    reject: (error: YizhanError) => void;
    /**
     * What becomes of it when the connection drops:
     * a publish and a read are sent again, the others are not.
     */
    kind: "hello" | "subscribe" | "publish" | "read" | "once";
    sent: boolean;
    /**
     * When a publish expires, ms.
     */
    until?: number | undefined;
    timer?: number | undefined;
};
