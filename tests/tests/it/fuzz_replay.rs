//! The fuzz targets without a fuzzer: on the corpus, and on variants of each input of it (`BIO_MCP_FUZZ_VARIANTS` of
//! each).

use std::panic::catch_unwind;
use std::path::PathBuf;

use fuzz_targets::seeds::seeds;
use fuzz_targets::{TARGETS, Target, variants::variant};

fn folder(target: &str) -> PathBuf {
    tests::root().join("fuzz/corpus").join(target)
}

/// The committed inputs of a target, by name.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut folders = vec![folder(target)];
    if target == "envelope" {
        folders.push(tests::root().join("tests/golden/envelope"));
    }
    let mut inputs: Vec<_> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())))
        .map(|entry| entry.expect("readable").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("readable"))
        })
        .collect();
    inputs.sort();
    inputs
}

/// Runs a target over one input, and shows the input if it fails.
fn check(run: Target, name: &str, input: &[u8]) {
    let ran = catch_unwind(|| run(input));
    assert!(ran.is_ok(), "{name}: {}", String::from_utf8_lossy(input).escape_debug());
}

fn replay(target: &str) {
    let (_, run) = TARGETS.into_iter().find(|(name, _)| *name == target).expect("a target");
    let count = tests::variable("BIO_MCP_FUZZ_VARIANTS").map_or(60, |count| count.parse().expect("a number"));
    let inputs = inputs(target);
    for (at, (name, input)) in inputs.iter().enumerate() {
        check(run, name, input);
        for n in 0..count {
            let other = &inputs[(at + usize::try_from(n).expect("small") + 1) % inputs.len()].1;
            check(run, &format!("variant {n} of {name}"), &variant(input, other, n));
        }
    }
    println!("{target}: {} inputs, {count} variants of each", inputs.len());
}

#[test]
fn the_splitter_finds_what_another_reader_finds() {
    replay("splitter");
}

#[test]
fn a_tree_is_what_another_reader_reads() {
    replay("tree");
}

#[test]
fn another_spelling_is_the_same_and_a_change_is_not() {
    replay("same_xml");
}

#[test]
fn an_envelope_holds_what_its_json_says() {
    replay("envelope");
}

#[test]
fn a_cursor_has_one_spelling() {
    replay("cursor");
}

#[test]
fn an_address_leads_where_it_was_written() {
    replay("address");
}

/// The corpus contains the constructed seeds; inputs that a fuzzer found may be added.
#[test]
fn the_corpus_holds_the_seeds() {
    let is_updating = tests::variable("BIO_MCP_UPDATE_CORPUS").is_some();
    let mut bytes = 0;
    for (target, _) in TARGETS {
        if is_updating {
            std::fs::create_dir_all(folder(target)).expect("made");
        }
        let seeds = seeds(target);
        assert!(seeds.len() >= 4, "{target}");
        for (name, seed) in seeds {
            let path = folder(target).join(&name);
            if is_updating {
                std::fs::write(&path, &seed).expect("written");
            }
            let committed = std::fs::read(&path).unwrap_or_default();
            assert!(
                committed == seed,
                "fuzz/corpus/{target}/{name} is not its seed: renew it with BIO_MCP_UPDATE_CORPUS=1 and this test"
            );
        }
        bytes += inputs(target).iter().map(|(_, input)| input.len()).sum::<usize>();
    }
    assert!(bytes < 200_000, "a corpus of small inputs: {bytes} bytes");
}

/// Without its wrapper a target would not be fuzzed.
#[test]
fn every_target_has_its_fuzzer() {
    let manifest = std::fs::read_to_string(tests::root().join("fuzz/Cargo.toml")).expect("there");
    for (target, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "fuzz/Cargo.toml lacks {target}");
        let wrapper = tests::root().join(format!("fuzz/fuzz_targets/{target}.rs"));
        let wrapper = std::fs::read_to_string(wrapper).expect("a wrapper");
        assert!(wrapper.contains(&format!("fuzz_targets::{target}(data)")), "{wrapper}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
