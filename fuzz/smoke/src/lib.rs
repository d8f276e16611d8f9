//! Fuzzing for a moment, on any toolchain: the seeds of `fuzz/seeds`, changed by a seeded chance. `./x fuzz`
//! does the real thing.

use std::{fs, path::Path};

/// Bytes of an input; more finds nothing that less does not.
const INPUT_BYTES_MAX: usize = 4096;

/// Inputs for one target: each seed as it is, then mixtures of them.
pub struct Inputs {
    seeds: Vec<Vec<u8>>,
    given: usize,
    chance: u64,
}

impl Inputs {
    /// The inputs for the target of this name.
    ///
    /// # Panics
    /// There are no seeds for it.
    #[must_use]
    pub fn new(target: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(target);
        let mut files: Vec<_> =
            fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        files.sort();
        let seeds: Vec<_> = files.iter().filter_map(|file| fs::read(file).ok()).collect();
        assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
        Self { seeds, given: 0, chance: 0x2545_f491_4f6c_dd1d }
    }

    /// xorshift64: the same inputs in every run.
    fn below(&mut self, end: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        // Less than `end`, so it fits.
        usize::try_from(self.chance % end.max(1) as u64).unwrap_or(0)
    }

    fn seed(&mut self) -> Vec<u8> {
        let which = self.below(self.seeds.len());
        self.seeds[which].clone()
    }

    /// A piece of some seed.
    fn piece(&mut self) -> Vec<u8> {
        let seed = self.seed();
        let from = self.below(seed.len() + 1);
        let len = self.below((seed.len() - from).min(64) + 1);
        seed[from..from + len].to_vec()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'9'][self.below(8)],
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            5 => {
                let piece = self.piece();
                input.splice(at..at, piece);
            }
            6 => {
                let piece = self.piece();
                input.splice(at..end, piece);
            }
            _ => {
                let noise: Vec<u8> = (0..=self.below(8)).map(|_| self.below(256).to_le_bytes()[0]).collect();
                input.splice(at..at, noise);
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
}

impl Iterator for Inputs {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.given += 1;
        if let Some(seed) = self.seeds.get(self.given - 1) {
            return Some(seed.clone());
        }
        let mut input = self.seed();
        for _ in 0..=self.below(6) {
            self.change(&mut input);
        }
        Some(input)
    }
}
