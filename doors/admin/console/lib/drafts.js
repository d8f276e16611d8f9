// What was begun to be written in each room, kept over a reload.

/** Rooms whose drafts are kept; the oldest go. */
const DRAFTS_MAX = 50;

let place = '';
/** @type {Map<string, string>} */
let drafts = new Map();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {string} user */
export function openDrafts(user) {
  place = `yizhan.drafts.${user}`;
  try {
    drafts = new Map(/** @type {[string, string][]} */ (JSON.parse(localStorage.getItem(place) ?? '[]')));
  } catch {
    drafts = new Map();
  }
}

/** @param {string} room */
export function draftOf(room) {
  return drafts.get(room) ?? '';
}

/** @param {string} room @param {string} text */
export function keepDraft(room, text) {
  drafts.delete(room);
  if (text) drafts.set(room, text);
  const [oldest] = drafts.keys();
  if (drafts.size > DRAFTS_MAX && oldest !== undefined) drafts.delete(oldest);
  clearTimeout(timer);
  timer = setTimeout(() => {
    try {
      localStorage.setItem(place, JSON.stringify([...drafts]));
    } catch {
      // The storage is full: the draft lasts as long as the page.
    }
  }, 300);
}
