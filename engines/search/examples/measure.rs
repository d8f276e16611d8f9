//! Fills an index with made-up chat in Chinese and English and measures it.
//!
//! `cargo run -p yizhan-search --example measure -- DOCUMENTS [FOLDER]`
//!
//! With a folder, the index stays there, and is filled only as far as it is not yet. It prints the rate, how
//! long a message takes until it is found, the size, and what queries of several kinds cost a user who may see
//! 500 of 50,000 conversations, on one thread.

#![expect(clippy::print_stdout, reason = "a tool for a person at a terminal")]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use yizhan_search::{Change, Config, Document, Figures, Index, Order, Query, SearchError};

const CONVERSATIONS: u64 = 50_000;
const VISIBLE: u64 = 500;
const BATCH: u64 = 500;
const QUERIES: usize = 400;

/// Frequent Han characters, the most frequent first.
const HAN: &str = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里\
用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长\
把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月\
话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电";

const ENGLISH: &str = "the to and of a in is it you that for on are with as this be at have from or by not but what all we \
when can your there use an each which she do how their if will up other about out many then them these so some her would \
make like him into time has look two more write go see number no way could people my than first water been call who oil its \
now find long down day did get come made may part hello thanks meeting project deploy release please tomorrow today okay";

fn main() {
    let mut args = std::env::args().skip(1);
    let documents: u64 = args.next().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let kept = args.next().map(PathBuf::from);
    let scratch = tempfile::tempdir().expect("a folder for the time of the run");
    let folder = kept.unwrap_or_else(|| scratch.path().join("index"));
    let (index, opened) = Index::open(&folder, Config::default()).expect("the folder is ours");
    let mut chat = Chat::new();
    let from = opened.through.and_then(|through| through.parse().ok()).unwrap_or(0);
    fill(&index, &mut chat, from, documents);
    until_found(&index, &mut chat, documents);
    settle(&index);
    let Figures { documents, bytes, segments, .. } = index.figures();
    println!(
        "size: {:.0} MB, {} bytes a message, {segments} segments, {documents} messages",
        bytes as f64 / 1e6,
        bytes / documents.max(1)
    );
    queries(&index, &mut chat);
    index.close();
}

/// Messages of one seq counter for all: rising, so as good as one each.
fn fill(index: &Index, chat: &mut Chat, from: u64, until: u64) {
    let began = Instant::now();
    let (mut at, mut text_bytes) = (from, 0);
    while at < until {
        let next = (at + BATCH).min(until);
        let batch: Vec<Change> = (at..next).map(|seq| Change::Put(chat.message(seq))).collect();
        text_bytes += batch
            .iter()
            .map(|change| if let Change::Put(put) = change { put.text.len() } else { 0 })
            .sum::<usize>();
        put(index, batch, next);
        at = next;
    }
    wait(index.flush());
    let (took, count) = (began.elapsed(), until.saturating_sub(from).max(1));
    let rate = count as f64 / took.as_secs_f64();
    println!("cost: {:.1} µs of CPU a message, all threads", process_cpu_s() * 1e6 / count as f64);
    println!(
        "rate: {rate:.0} messages/s, {} bytes of text each, {took:.1?} in all",
        text_bytes as u64 / count
    );
}

fn put(index: &Index, batch: Vec<Change>, through: u64) {
    while let Err(error) = index.apply(batch.clone(), through.to_string()) {
        assert!(matches!(error, SearchError::Busy { .. }), "{error}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long one message takes until it is found, while others come in at 2,000/s.
fn until_found(index: &Index, chat: &mut Chat, from: u64) {
    let mut times = vec![];
    for round in 0..10 {
        let mark = format!("zzmark{from}x{round}");
        let mut message = chat.message(from + round * BATCH);
        message.text = mark.clone();
        let mut batch: Vec<Change> =
            (1..BATCH).map(|n| Change::Put(chat.message(from + round * BATCH + n))).collect();
        batch.push(Change::Put(message.clone()));
        let query = Query {
            text: mark,
            conversations: vec![(message.conversation, 0)],
            limit: 1,
            ..Query::default()
        };
        let began = Instant::now();
        put(index, batch, from + (round + 1) * BATCH);
        while index.search(&query).expect("a plain query").hits.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        times.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(250).saturating_sub(began.elapsed()));
    }
    times.sort();
    println!("found after: {:.0?} in the middle, {:.0?} at most", times[5], times[9]);
}

/// Waits until merges are done, so that they are not measured with the queries.
fn settle(index: &Index) {
    let mut before = (index.figures().bytes, Instant::now());
    while before.1.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(200));
        let bytes = index.figures().bytes;
        if bytes != before.0 {
            before = (bytes, Instant::now());
        }
    }
}

fn queries(index: &Index, chat: &mut Chat) {
    let visible: Vec<(String, u64)> =
        (0..VISIBLE).map(|n| (conversation(n * CONVERSATIONS / VISIBLE), 0)).collect();
    let base = Query { conversations: visible, limit: 20, ..Query::default() };
    let best = Query { order: Order::Best, ..base.clone() };
    let one = Query { conversations: vec![(conversation(0), 0)], ..base.clone() };
    let blank = Query { kinds: vec!["file".into()], ..base.clone() };
    let mut run = |name: &str, base: &Query, text: &dyn Fn(&mut Chat) -> String| {
        let (mut times, mut work) = (vec![], vec![]);
        let mut found = 0;
        for _ in 0..QUERIES {
            let query = Query { text: text(chat), ..base.clone() };
            let (began, cpu) = (Instant::now(), cpu_ms());
            found += index.search(&query).expect("a plain query").total;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            work.push(cpu_ms() - cpu);
        }
        times.sort_by(f64::total_cmp);
        work.sort_by(f64::total_cmp);
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        let cpu = work[work.len() * 99 / 100];
        let total = found as f64 / QUERIES as f64;
        println!(
            "{name:34} p50 {:6.2} ms   p99 {:6.2} ms, of which on the CPU {cpu:6.2} ms   {total:6.1} matches",
            at(0.5),
            at(0.99)
        );
    };
    run("one word", &base, &|chat| chat.word() + " ");
    run("one of the 20 most frequent words", &base, &|chat| chat.frequent() + " ");
    run("two words", &base, &|chat| format!("{} {} ", chat.word(), chat.word()));
    run("two frequent words", &base, &|chat| format!("{} {} ", chat.frequent(), chat.frequent()));
    run("one Han character", &base, &|chat| chat.han().to_string());
    run("four Han characters", &base, &|chat| (0..2).map(|_| chat.chinese()).collect());
    run("a rare word", &base, &|chat| chat.rare() + " ");
    run("a beginning of 1 letter", &base, &|chat| chat.english()[..1].into());
    run("a beginning of 2 or 3 letters", &base, &|chat| chat.english().chars().take(3).collect());
    run("a beginning of 4 letters", &base, &|chat| chat.rare().chars().take(4).collect());
    run("a phrase of frequent words", &base, &|chat| format!("\"{} {}\"", chat.frequent(), chat.frequent()));
    run("one word, best first", &best, &|chat| chat.word() + " ");
    run("a frequent word, best first", &best, &|chat| chat.frequent() + " ");
    run("a frequent word, one conversation", &one, &|chat| chat.frequent() + " ");
    run("no words, all files", &blank, &|_| String::new());
}

/// Seconds that all threads of this process have run. Linux only, where a tick is 10 ms.
fn process_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Milliseconds that this thread has run; on a busy machine it tells more than the clock. Linux only.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

fn conversation(n: u64) -> String {
    format!("g-{n:08x}")
}

fn wait(ready: impl Future<Output = Result<(), SearchError>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(ready).expect("the disk takes it");
}

/// Makes up messages: words by Zipf's law, some never seen before, as in chat.
struct Chat {
    state: u64,
    han: Vec<char>,
    chinese: Vec<String>,
    english: Vec<String>,
}

impl Chat {
    fn new() -> Self {
        let mut chat = Self {
            state: 0x9E37_79B9_7F4A_7C15,
            han: HAN.chars().collect(),
            chinese: vec![],
            english: vec![],
        };
        chat.han.extend((0x4E00..0x4E00 + 3000).filter_map(char::from_u32));
        chat.chinese = (0..40_000)
            .map(|n| (0..if n < 100 { 1 } else { 2 + n % 5 / 4 }).map(|_| chat.han()).collect())
            .collect();
        chat.english = ENGLISH.split_whitespace().map(str::to_owned).collect();
        while chat.english.len() < 40_000 {
            let word = (0..2 + chat.below(3)).map(|_| chat.syllable()).collect();
            chat.english.push(word);
        }
        chat
    }

    fn message(&mut self, seq: u64) -> Document {
        let words = 1 + self.zipf(60);
        let style = self.below(10);
        let mut text = String::new();
        for _ in 0..words {
            match style {
                0..6 => text += &self.chinese(),
                6..8 => text += &(self.english() + " "),
                _ if self.below(4) == 0 => text += &(self.english() + " "),
                _ => text += &self.chinese(),
            }
            match self.below(60) {
                0..8 => text += "，",
                8 => text += &format!(" {} ", self.next() % 100_000_000),
                _ => {}
            }
        }
        // Some conversations are far busier than others.
        let n = self.below(CONVERSATIONS) * self.below(CONVERSATIONS) / CONVERSATIONS;
        Document {
            conversation: conversation(n),
            seq,
            sender: format!("u-{:08x}", self.below(100_000)),
            at_ms: 1_700_000_000_000 + seq * 50,
            kind: if self.below(20) == 0 { "file" } else { "text" }.into(),
            text,
        }
    }

    fn word(&mut self) -> String {
        if self.below(2) == 0 { self.english() } else { self.chinese() }
    }

    fn frequent(&mut self) -> String {
        let at = self.below(20) as usize;
        if self.below(2) == 0 { self.english[at].clone() } else { self.chinese[at].clone() }
    }

    fn rare(&mut self) -> String {
        let at = 20_000 + self.below(20_000) as usize;
        self.english[at].clone()
    }

    fn english(&mut self) -> String {
        let at = self.zipf(self.english.len() as u64);
        self.english[at as usize].clone()
    }

    fn chinese(&mut self) -> String {
        let at = self.zipf(self.chinese.len() as u64);
        self.chinese[at as usize].clone()
    }

    fn han(&mut self) -> char {
        let at = self.zipf(self.han.len() as u64);
        self.han[at as usize]
    }

    fn syllable(&mut self) -> String {
        let (head, tail) = (b"bcdfghjklmnprstvwz", b"aeiou");
        let (head, tail) = (head[self.below(18) as usize], tail[self.below(5) as usize]);
        [char::from(head), char::from(tail)].iter().collect()
    }

    /// 0 to `count` - 1, the first ones most often.
    fn zipf(&mut self, count: u64) -> u64 {
        let even = self.next() as f64 / (1u64 << 56) as f64;
        ((count as f64 + 1.0).powf(even) as u64 - 1).min(count - 1)
    }

    fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }
}
