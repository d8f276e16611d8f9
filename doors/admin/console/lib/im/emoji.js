// The emoji that can be picked, in groups, each with the words by which it is found in English and Chinese.

/** Offered first where one reacts to a message. */
export const QUICK = ['👍', '❤️', '😂', '🎉', '😮', '😢'];

/** Emoji that this browser remembers as used last. */
const RECENT_MAX = 24;

/** @typedef {{emoji: string, words: string}} Emoji */

const lines = {
  smileys: `😀 grin smile happy 笑 开心|😄 laugh smile happy 大笑 高兴|😁 beam grin teeth 嘻嘻 露齿|😆 laughing haha 哈哈|😅 sweat relief 尴尬 汗|🤣 rofl rolling 笑翻|😂 joy tears laugh 笑哭|🙂 smile slight 微笑|🙃 upside down 颠倒|😉 wink 眨眼|😊 blush happy 害羞 微笑|😇 angel halo 天使|🥰 love hearts 喜爱|😍 heart eyes love 色 爱慕|🤩 star struck wow 崇拜|😘 kiss 飞吻|😋 yum tasty 好吃|😛 tongue 吐舌|😜 wink tongue 调皮|🤪 zany crazy 疯|🤗 hug 拥抱|🤭 oops giggle 捂嘴|🤫 quiet hush 嘘|🤔 think hmm 思考|🤐 zip mouth 闭嘴|😐 neutral 面无表情|😏 smirk 得意|😒 unamused 无语|🙄 roll eyes 白眼|😬 grimace awkward 尴尬|😌 relieved calm 安心|😔 sad pensive 失落|😪 sleepy 困|😴 sleep zzz 睡觉|😷 mask sick 口罩 生病|🤒 fever ill 发烧|🤕 hurt bandage 受伤|🤢 nausea 恶心|🤧 sneeze cold 打喷嚏|🥵 hot 热|🥶 cold freezing 冷|😵 dizzy 晕|🤯 mind blown 震惊|🥳 party celebrate 庆祝|😎 cool sunglasses 酷|🤓 nerd 书呆|🧐 monocle inspect 审视|😕 confused 困惑|😟 worried 担心|😮 wow surprised 惊讶|😳 flushed 脸红|🥺 please pleading 可怜|😢 cry sad 哭 难过|😭 sob cry 大哭|😱 scream fear 尖叫|😤 huff proud 哼|😡 angry rage 生气|🤬 swear curse 骂|💀 skull dead 骷髅|💩 poop 便便|🤡 clown 小丑|👻 ghost 鬼|🤖 robot bot 机器人|🥲 smile tear 含泪|🫡 salute 敬礼|🫠 melt 融化`,
  gestures: `👍 thumbs up yes ok good like 赞 好|👎 thumbs down no bad 踩 差|👌 ok 好的|✌️ peace victory 耶|🤞 luck fingers crossed 祈祷 好运|🤙 call me 打电话|👏 clap bravo 鼓掌|🙌 hooray hands 欢呼|🤝 handshake deal 握手 合作|🙏 please thanks pray 谢谢 拜托|💪 strong muscle 加油 强|👋 wave hello bye 你好 再见|✋ hand stop 停|🤚 raised back hand 手背|🖐️ five hand 五|👊 fist bump 拳|✊ fist 拳头|🤜 fist right 右拳|🤛 fist left 左拳|☝️ point up one 一 上|👇 down 下|👈 left 左|👉 right 右|✍️ write 写|👀 eyes look 看 围观|🧠 brain 脑|🙋 raise hand me 举手|🤷 shrug 摊手|🤦 facepalm 捂脸|🙇 bow sorry 鞠躬 抱歉|💁 info 说明|🙅 no 不行|🙆 yes ok 可以`,
  hearts: `❤️ heart love 爱 心|🧡 orange heart 橙心|💛 yellow heart 黄心|💚 green heart 绿心|💙 blue heart 蓝心|💜 purple heart 紫心|🖤 black heart 黑心|💔 broken heart 心碎|💕 hearts 双心|💯 hundred perfect 满分|✨ sparkles shiny 闪亮|⭐ star 星|🌟 star glow 闪星|🔥 fire hot lit 火|💥 boom 爆|🎉 party tada celebrate 庆祝 撒花|🎊 confetti 彩球|🎁 gift present 礼物|🏆 trophy win 奖杯 冠军|🥇 gold first 金牌|🎂 cake birthday 生日 蛋糕|🌹 rose flower 玫瑰|💐 bouquet flowers 鲜花|🧧 red envelope luck 红包|🏮 lantern 灯笼|🧨 firecracker 鞭炮`,
  nature: `🐶 dog 狗|🐱 cat 猫|🐭 mouse 鼠|🐰 rabbit 兔|🦊 fox 狐狸|🐻 bear 熊|🐼 panda 熊猫|🐯 tiger 虎|🦁 lion 狮|🐮 cow 牛|🐷 pig 猪|🐵 monkey 猴|🙈 see no evil monkey 不看|🐔 chicken 鸡|🐧 penguin 企鹅|🐎 horse 马|🐉 dragon 龙|🐢 turtle slow 龟|🐟 fish 鱼|🐝 bee 蜜蜂|🐛 bug insect 虫|🌱 seedling 幼苗|🌳 tree 树|🍀 clover luck 四叶草|🌸 blossom 樱花|🌍 earth world 地球|🌙 moon night 月亮|☀️ sun sunny 太阳 晴|⛅ cloud 多云|🌧️ rain 雨|⛈️ storm 雷雨|❄️ snow cold 雪|🌈 rainbow 彩虹|🌊 wave sea 海浪`,
  food: `🍎 apple 苹果|🍊 orange 橙|🍌 banana 香蕉|🍉 watermelon 西瓜|🍓 strawberry 草莓|🥟 dumpling 饺子|🍜 noodles ramen 面|🍚 rice 米饭|🍲 hotpot stew 火锅|🥘 pan 锅|🍣 sushi 寿司|🥠 fortune cookie 幸运饼|🍞 bread 面包|🧀 cheese 奶酪|🍔 burger 汉堡|🍟 fries 薯条|🍕 pizza 披萨|🌮 taco|🥗 salad 沙拉|🍰 cake 蛋糕|🍪 cookie 饼干|🍫 chocolate 巧克力|🍵 tea 茶|☕ coffee 咖啡|🧋 bubble tea 奶茶|🍺 beer 啤酒|🍻 cheers beer 干杯|🥂 toast cheers 碰杯|🍷 wine 红酒`,
  things: `⚽ football soccer 足球|🏀 basketball 篮球|🏓 table tennis ping pong 乒乓|🎮 game 游戏|🎵 music note 音乐|🎤 mic sing 唱歌|🎬 film movie 电影|📷 camera photo 相机|📱 phone mobile 手机|💻 laptop computer 电脑|🖨️ printer 打印|💡 idea light 灯 主意|🔋 battery 电池|🔌 plug 插头|🔧 wrench fix 扳手 修|🔨 hammer 锤|⚙️ gear settings 齿轮|📦 package box 包裹|📅 calendar date 日历|📌 pin 图钉|📎 paperclip 回形针|📝 note memo 笔记|📊 chart 图表|📈 up growth 上涨|📉 down fall 下跌|📖 book read 书|✉️ mail letter 信|📣 announce 喇叭 公告|🔔 bell 铃|🔕 mute 静音|🔒 lock 锁|🔑 key 钥匙|💰 money 钱|💳 card pay 卡|⏰ alarm clock 闹钟|⏳ hourglass wait 沙漏 等|🚗 car 车|🚌 bus 公交|🚄 train 高铁|✈️ plane flight 飞机|🚀 rocket launch ship 火箭|🚢 ship boat 船|🏠 house home 家|🏢 office 办公楼|🏥 hospital 医院|⛰️ mountain 山|🏖️ beach holiday 海滩 假期`,
  signs: `✅ check done yes 完成 对|❌ cross no wrong 错|⚠️ warning 警告|🚫 forbidden 禁止|❓ question 问|❗ exclamation 叹号|‼️ double exclamation 重要|➕ plus 加|➖ minus 减|🔴 red 红|🟡 yellow 黄|🟢 green 绿|🔵 blue 蓝|⬆️ up 上|⬇️ down 下|🔄 refresh again 刷新|🆗 ok 好|🆕 new 新|🔝 top 顶|💤 zzz sleep 困|💬 speech chat 聊天|🏁 finish flag 终点|🚩 flag 旗|🇨🇳 china 中国`,
};

/** @typedef {keyof typeof lines} Group */

/** @type {{group: Group, items: Emoji[]}[]} */
export const groups = Object.entries(lines).map(([group, line]) => ({
  group: /** @type {Group} */ (group),
  items: line.split('|').map((item) => {
    const [emoji = '', ...words] = item.split(' ');
    return { emoji, words: words.join(' ').toLowerCase() };
  }),
}));

/**
 * Emoji that have a word beginning with each of the words looked for, or a Chinese word with it inside.
 * @param {string} text
 */
export function findEmoji(text) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  return groups
    .flatMap(({ items }) => items)
    .filter(({ emoji, words }) =>
      wanted.every((word) => emoji === word || words.split(' ').some((each) => each.startsWith(word) || (/\p{Script=Han}/u.test(word) && each.includes(word)))),
    );
}

/** @returns {string[]} */
export function recentEmoji() {
  try {
    const kept = JSON.parse(localStorage.getItem('yizhan.emoji') ?? '[]');
    return Array.isArray(kept) ? kept.filter((each) => typeof each === 'string' && each.length < 20) : [];
  } catch {
    return [];
  }
}

/** @param {string} emoji */
export function usedEmoji(emoji) {
  const list = [emoji, ...recentEmoji().filter((each) => each !== emoji)].slice(0, RECENT_MAX);
  localStorage.setItem('yizhan.emoji', JSON.stringify(list));
}
