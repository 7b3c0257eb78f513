//! Every file of the fuzzers' corpora, asked of the same properties on a stable toolchain.

use std::io::Write as _;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod properties;

fn corpus(target: &str, property: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        // Seen only where the test fails: which file it was.
        println!("{}", file.display());
        property(&std::fs::read(file).unwrap());
    }
    let _ = writeln!(std::io::stderr(), "corpus {target}: {} files", files.len());
    assert!(files.len() >= 5, "the corpus of {target} is gone");
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
    the_parser_of_spiffe_ids_and_the_model_agree: spiffe_id,
    the_finder_of_bearer_tokens_and_the_model_agree: bearer_header,
    the_verifier_of_tokens_and_the_model_agree: token_verify,
    no_bytes_dropped_in_as_a_policy_do_harm: policy_load,
    the_guard_and_the_model_agree_on_every_path: path,
    rbac_in_the_sandbox_and_the_model_agree: wasm_equals_model,
}
