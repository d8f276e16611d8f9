// The words of the page: English, and 简体中文.

import { settings } from './settings.js';

const WORDS = {
  'page.noscript': ['This page needs JavaScript.', '此页面需要 JavaScript。'],
  live: ['LIVE', '直播中'],
  off: ['Off air', '未开播'],
  viewers: ['{n} watching', '{n} 人在看'],
  share: ['Copy the link', '复制链接'],
  'share.done': ['The link was copied', '链接已复制'],
  play: ['Play', '播放'],
  pause: ['Pause', '暂停'],
  mute: ['Mute', '静音'],
  unmute: ['Sound on', '打开声音'],
  volume: ['Volume', '音量'],
  full: ['Full screen', '全屏'],
  'full.leave': ['Leave full screen', '退出全屏'],
  pip: ['Picture in picture', '画中画'],
  settings: ['Settings', '设置'],
  quality: ['Quality', '清晰度'],
  'quality.auto': ['Auto', '自动'],
  'quality.auto.now': ['Auto · {now}', '自动 · {now}'],
  'quality.source': ['Source', '原画'],
  protocol: ['Protocol', '播放协议'],
  'protocol.auto': ['Auto', '自动'],
  'protocol.llhls': ['Low-latency HLS', '低延迟 HLS'],
  'protocol.hls': ['HLS', 'HLS'],
  'protocol.flv': ['FLV', 'FLV'],
  'protocol.native': ['The browser’s own HLS', '浏览器自带 HLS'],
  'protocol.native.only': [
    'This server was built without players, so the page plays what the browser plays by itself.',
    '服务器构建时未包含播放器，页面仅使用浏览器自身的播放能力。',
  ],
  delay: ['Delay {s} s', '延迟 {s} 秒'],
  'delay.about': ['From the server to your screen', '从服务器到您的屏幕'],
  'live.go': ['Go to live', '回到直播'],
  'live.now': ['You are watching live', '正在观看直播'],
  stats: ['Details', '详细信息'],
  'stats.protocol': ['Protocol', '协议'],
  'stats.picture': ['Picture', '画面'],
  'stats.codecs': ['Codecs', '编码'],
  'stats.rate': ['Bit rate', '码率'],
  'stats.buffer': ['Buffer', '缓冲'],
  'stats.frames': ['Frames', '帧'],
  'stats.dropped': ['{all}, {dropped} dropped', '{all}，丢弃 {dropped}'],
  'stats.delay': ['Delay', '延迟'],
  bullets: ['Bullet chat', '弹幕'],
  'bullets.on': ['Show bullet chat', '显示弹幕'],
  'bullets.off': ['Hide bullet chat', '隐藏弹幕'],
  'bullets.look': ['Look of the bullet chat', '弹幕设置'],
  density: ['Density', '密度'],
  'density.few': ['Few', '稀疏'],
  'density.some': ['Half', '适中'],
  'density.many': ['Full', '密集'],
  opacity: ['Opacity', '不透明度'],
  size: ['Size', '字号'],
  speed: ['Speed', '速度'],
  colour: ['Colour', '颜色'],
  place: ['Where it flies', '位置'],
  'place.roll': ['Across', '滚动'],
  'place.top': ['Top', '顶部'],
  'place.bottom': ['Bottom', '底部'],
  chat: ['Chat', '聊天'],
  'chat.show': ['Show the chat', '显示聊天'],
  'chat.hide': ['Hide the chat', '隐藏聊天'],
  'chat.none': ['Nobody has said anything yet. Be the first.', '还没有人发言，来抢沙发吧。'],
  'chat.write': ['Say something…', '发条弹幕吧…'],
  'chat.send': ['Send', '发送'],
  'chat.below': ['{n} new', '{n} 条新消息'],
  'chat.tobottom': ['To the newest', '回到最新'],
  'chat.connecting': ['Connecting to the chat…', '正在连接聊天…'],
  'chat.waiting': ['The chat is away. It comes back by itself.', '聊天已断开，将自动重连。'],
  'chat.refused': ['Sign in to chat', '登录后参与聊天'],
  'chat.signin': ['Sign in', '登录'],
  'chat.as': ['You write as {name}', '您的昵称：{name}'],
  'chat.guest': ['guest', '游客'],
  'chat.name': ['What shall we call you?', '怎么称呼您？'],
  'chat.name.take': ['That’s me', '确定'],
  'chat.named': ['You are {name}', '您现在是 {name}'],
  'chat.failed': ['Not sent: {why}', '发送失败：{why}'],
  'chat.slow': ['Please write a little slower', '发言太快，请稍候'],
  'chat.missed': ['{n} messages flew by unseen', '有 {n} 条消息未显示'],
  'role.publisher': ['host', '主播'],
  'role.admin': ['staff', '管理'],
  gift: ['Give something', '送礼物'],
  'gift.sent': ['gave {gift}', '送出 {gift}'],
  'gift.rose': ['a rose', '玫瑰'],
  'gift.heart': ['a heart', '爱心'],
  'gift.applause': ['applause', '掌声'],
  'gift.tea': ['a cup of tea', '一杯茶'],
  'gift.lantern': ['a lantern', '灯笼'],
  'gift.rocket': ['a rocket', '火箭'],
  'gift.other': ['{name}', '{name}'],
  'veil.loading': ['Tuning in…', '正在连接…'],
  'veil.waiting': ['Waiting for the picture…', '缓冲中…'],
  'veil.off': ['Not on air', '主播尚未开播'],
  'veil.off.text': ['It begins here by itself when the broadcast does.', '开播后将自动开始播放。'],
  'veil.ended': ['The broadcast is over', '直播已结束'],
  'veil.ended.text': ['Thank you for watching. Should it go on, it goes on here.', '感谢观看。如果继续开播，将自动播放。'],
  'veil.lost': ['The broadcaster was cut off', '主播连接中断'],
  'veil.lost.text': ['It goes on as soon as they are back.', '恢复后将自动继续播放。'],
  'veil.failed': ['It cannot be played', '无法播放'],
  'veil.denied': ['You may not watch this', '您无权观看'],
  'veil.denied.text': ['The link has expired, or this is for members only.', '链接已过期，或仅限会员观看。'],
  'veil.unsupported': ['This browser plays none of the forms that this broadcast comes in.', '此浏览器不支持该直播的任何播放格式。'],
  'veil.again': ['Try again', '重试'],
  'veil.play': ['Play', '播放'],
  'sound.hint': ['Tap for sound', '点击打开声音'],
  since: ['On air for {time}', '已开播 {time}'],
  'keys.hint': ['Space, M, F, D: play, mute, full screen, bullet chat', '空格、M、F、D：播放、静音、全屏、弹幕'],
  language: ['Language', '语言'],
  theme: ['Light page', '浅色页面'],
  close: ['Close', '关闭'],
};

/** @typedef {keyof typeof WORDS} Word */

/** The text for a word, with `{name}` filled in. @param {Word} word @param {{[name: string]: string | number}} [values] */
export function t(word, values = {}) {
  const text = /** @type {string} */ (WORDS[word][settings.language.value === 'zh' ? 1 : 0]);
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The text for a name that others made, where there is one. @param {string} family @param {string} name */
export function tName(family, name) {
  const word = `${family}.${name}`;
  return Object.hasOwn(WORDS, word) ? t(/** @type {Word} */ (word)) : name;
}

/** A number for people: 1,204, 12.3k, 1.2万. @param {number} n */
export function count(n) {
  if (n < 10_000) return n.toLocaleString(settings.language.value === 'zh' ? 'zh-CN' : 'en');
  return new Intl.NumberFormat(settings.language.value === 'zh' ? 'zh-CN' : 'en', { notation: 'compact', maximumFractionDigits: 1 }).format(n);
}

/** A time as 1:02:03. @param {number} seconds */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const hours = Math.floor(s / 3600);
  return hours ? `${hours}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}
