//! Each folder of `tests/config` is a case: `spotstream.toml` is checked, and what a person reads is `expected.txt`.
//! `UPDATE=1 cargo test --test config` writes the expectations anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use spotstreamd::config;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut cases: Vec<PathBuf> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

fn report(case: &Path) -> String {
    let text = match config::check(&case.join("spotstream.toml")) {
        Ok(loaded) => {
            let warnings: String = loaded
                .warnings
                .iter()
                .map(|warning| format!("{warning}\n"))
                .collect();
            format!("right\n{}{warnings}", loaded.listing)
        }
        Err(problems) => {
            let lines: String = problems
                .0
                .iter()
                .map(|p| format!("{} [{}]\n", p, p.kind()))
                .collect();
            format!("wrong\n{lines}")
        }
    };
    text.replace(&format!("{}/", case.display()), "")
}

#[test]
fn every_case_reads_as_expected() {
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let mut stale = Vec::new();
    for case in cases {
        let expected = case.join("expected.txt");
        let report = report(&case);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &report).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != report {
            stale.push(format!("{}\n{report}", case.display()));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

#[test]
fn a_case_that_is_named_good_is_right_and_every_other_has_one_problem_at_least() {
    for case in cases() {
        let right = report(&case).starts_with("right");
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(right, name.contains("-good-"), "{name}");
    }
}
