//! Every file of the fuzzers' corpora, asked of the same properties on a stable toolchain.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a corpus that cannot be read ends the test"
)]

use std::io::Write as _;
use std::path::Path;

#[allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    unreachable_pub,
    reason = "a property that does not hold panics: that is how a fuzzer is told"
)]
#[path = "../../fuzz/src/lib.rs"]
mod properties;

/// Asks about every file, and about changed copies of them: what a fuzzer does in its first second,
/// the same on every run.
fn corpus(target: &str, property: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for (file, data) in files.iter().zip(&seeds) {
        let holds = std::panic::catch_unwind(|| property(data)).is_ok();
        assert!(holds, "the property of {target} does not hold for {}", file.display());
    }
    // A policy takes milliseconds to compile, everything else microseconds to ask. CHANGES asks for
    // more.
    let usual = if target == "policy_load" { 100 } else { 2000 };
    let changes = std::env::var("CHANGES").ok().and_then(|changes| changes.parse().ok()).unwrap_or(usual);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..changes {
        let data = dice.change(&seeds);
        let holds = std::panic::catch_unwind(|| property(&data)).is_ok();
        assert!(holds, "the property of {target} does not hold for {:?}", String::from_utf8_lossy(&data));
    }
    let _ = writeln!(std::io::stderr(), "corpus {target}: {} files, {changes} changed copies", files.len());
    assert!(files.len() >= 5, "the corpus of {target} is gone");
}

/// Bytes that mean something to one parser or another.
const PUNCTUATION: &[u8] = b"/%.\\\0\n \"{}[],:*~=-_A2F5";

/// xorshift64: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).unwrap() % count.max(1)
    }

    /// A seed with one to four changes: a byte set, put in or taken out, a piece of another seed, a
    /// piece twice, an end cut off.
    fn change(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut data = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(data.len() + 1);
            let byte = match self.below(3) {
                0 => PUNCTUATION[self.below(PUNCTUATION.len())],
                1 => 1 << self.below(8),
                _ => u8::try_from(self.below(256)).unwrap(),
            };
            match self.below(6) {
                0 => data.insert(at, byte),
                1 if at < data.len() => drop(data.remove(at)),
                2 if at < data.len() => data[at] ^= byte.max(1),
                3 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    let to = from + self.below(other.len() - from + 1).min(64);
                    data.splice(at..at, other[from..to].iter().copied());
                }
                4 => {
                    let piece: Vec<u8> = data[at..].iter().copied().take(16).collect();
                    data.splice(at..at, piece);
                }
                _ if self.below(4) == 0 => data.truncate(at),
                _ => data.insert(at, byte),
            }
        }
        data
    }
}

macro_rules! corpora {
    ($($test:ident: $target:ident,)*) => {
        $(
            #[test]
            fn $test() {
                corpus(stringify!($target), properties::$target);
            }
        )*

        #[test]
        fn every_corpus_has_a_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
            let tested = [$(stringify!($target)),*];
            for entry in std::fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name();
                assert!(tested.contains(&name.to_str().unwrap()), "no test asks the corpus {name:?}");
            }
        }
    };
}

corpora! {
    no_bytes_are_taken_for_a_certificate_that_was_not_issued: peer_certificate,
    chains_that_are_built_mutated_and_signed_are_judged_as_the_model_says: signed_chain,
    the_parser_of_spiffe_ids_and_the_model_agree: spiffe_id,
    the_finder_of_bearer_tokens_and_the_model_agree: bearer_header,
    the_verifier_of_tokens_and_the_model_agree: token_verify,
    no_bytes_dropped_in_as_a_policy_do_harm: policy_load,
    no_bytes_are_weighed_with_a_panic: policy_weigh,
    the_guard_and_the_model_agree_on_every_path: path,
    rbac_in_the_sandbox_and_the_model_agree: wasm_equals_model,
    the_decision_cache_and_a_fresh_evaluation_agree: cached_equals_fresh,
}
