//! Whatever a person writes into the settings, the daemon says what is wrong with it, and never what a secret is.

use std::path::Path;

use proptest::prelude::*;
use spotstreamd::config::fragment::KEYS;
use spotstreamd::config::{self, Loaded, Problems};

const SECRET: &str = "live_1_planted9";

fn check(text: &[u8]) -> Result<Loaded, Problems> {
    config::check_bytes(Path::new("spotstream.toml"), text)
}

fn right() -> String {
    format!(
        "[stream]\nkey = \"{SECRET}\"\naudio = \"silent\"\n[robot]\nlogin = \"user\"\nusername = \"student\"\n\
         password = \"{SECRET}\"\nhosts = [\"10.0.0.3\"]\n[camera]\ntarget_bitrate_kbps = 4000\nawb = \"auto\"\n"
    )
}

fn everything_said(checked: &Result<Loaded, Problems>) -> String {
    match checked {
        Ok(loaded) => format!("{loaded:?}\n{}\n{:?}", loaded.listing, loaded.warnings),
        Err(problems) => format!("{problems:?}\n{problems}\n{}", problems.kind()),
    }
}

/// Pieces of settings files in any order: they reach deeper than random letters.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "[",
        "]",
        "[[",
        "]]",
        "=",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "\n",
        "\r\n",
        "\r",
        ".",
        ",",
        "{",
        "}",
        "#",
        " ",
        "stream",
        "robot",
        "camera",
        "key",
        "hosts",
        "port",
        "awb",
        "\"x\"",
        "1",
        "-1",
        "0x",
        "1e9",
        "nan",
        "true",
        "1979-05-27",
        "\\",
        "\\u12",
        "\u{feff}",
        "\0",
        "é",
        "“",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..60)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_settings_or_have_a_problem(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problems) = check(&bytes) {
            prop_assert!(!problems.0.is_empty());
        }
    }

    #[test]
    fn any_pieces_are_settings_or_have_a_problem(text in pieces()) {
        if let Err(problems) = check(text.as_bytes()) {
            prop_assert!(!problems.0.is_empty());
            prop_assert!(problems.0.iter().all(|problem| !problem.to_string().contains('\n')));
        }
    }

    #[test]
    fn a_spoilt_file_never_shows_a_secret(edits in proptest::collection::vec((0..230_usize, 0..4_u8, pieces()), 1..4)) {
        let mut letters: Vec<char> = right().chars().collect();
        for (at, edit, text) in edits {
            let at = at.min(letters.len().saturating_sub(1));
            match edit {
                0 => drop(letters.drain(at..(at + 1).min(letters.len()))),
                1 => drop(letters.splice(at..at, text.chars())),
                2 => drop(letters.splice(at..at, ['\n'])),
                _ => letters.truncate(at),
            }
        }
        let text: String = letters.iter().collect();
        let said = everything_said(&check(text.as_bytes()));
        prop_assert!(!said.contains("planted9"), "{text}\n{said}");
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated_by_the_error(section in 0..4_usize, key in 0..10_usize) {
        let (section, keys) = KEYS[section];
        let key = keys[key % keys.len()];
        let text = format!("[{section}]\n{key} = \"{SECRET}\"\n{SECRET} = \"{SECRET}\"\n{SECRET}\n[{SECRET}]\n");
        let checked = check(text.as_bytes());
        prop_assert!(checked.is_err());
        prop_assert!(!everything_said(&checked).contains("planted9"), "{text}");
    }
}

#[test]
fn right_settings_keep_their_secrets() {
    let checked = check(right().as_bytes());
    assert_eq!(checked.as_ref().unwrap().settings.stream.key.reveal(), SECRET);
    assert!(!everything_said(&checked).contains("planted9"));
}
