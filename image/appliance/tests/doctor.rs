//! The doctor on boards that are folders: `tests/doctor/CASE/root` is what the kernel shows, `expected.txt` what the
//! doctor says. `UPDATE=1 cargo test -p appliance --test doctor` writes the latter anew.
#![expect(clippy::expect_used, reason = "a test that is surprised has failed")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use appliance::doctor::{self, collect::collect, judge::judge};
use appliance::facts::Facts;
use appliance::place::{BOOT, Place};
use appliance::slots::{BootState, Start};

fn said(case: &Path) -> String {
    let place = Place::below(case.join("root"));
    let read = |name: &str| fs::read_to_string(case.join(name)).ok();
    let seconds = read("now").and_then(|seconds| seconds.trim().parse().ok());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unwrap_or(0));
    let facts = Facts {
        start: Start::parse(&place.text(BOOT).unwrap_or_default()),
        slots: read("boot-state").map(|text| BootState::parse(&text)),
        network: read("network.json").map(|text| serde_json::from_str(&text).expect("network.json is right")),
        stream: read("stream.json").map(|text| serde_json::from_str(&text).expect("stream.json is right")),
        settings: read("import.json")
            .map(|text| serde_json::from_str(&text).expect("import.json is right"))
            .unwrap_or_default(),
        ..Facts::default()
    };
    let mut said = String::new();
    for check in judge(&collect(&place, &facts, now)) {
        let _ = writeln!(
            said,
            "{}: {}: {}",
            check.verdict.word(),
            check.name,
            check.finding
        );
        if !check.advice.is_empty() {
            let _ = writeln!(said, "  {}", check.advice);
        }
    }
    said
}

#[test]
fn every_board_gets_its_findings() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor");
    let mut names: Vec<_> = fs::read_dir(cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() >= 4, "there are boards");
    for case in names {
        let said = said(&case);
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        assert_eq!(
            said,
            fs::read_to_string(&expected).unwrap_or_default(),
            "{}",
            case.display()
        );
    }
}

#[test]
fn programs_get_the_findings_as_json() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor/nothing-known/root");
    let checks = judge(&collect(
        &Place::below(case),
        &Facts::default(),
        SystemTime::now(),
    ));
    let json: serde_json::Value = serde_json::from_str(&doctor::json(&checks)).unwrap();
    let first = &json["checks"][0];
    for key in ["name", "verdict", "finding", "advice"] {
        assert!(first[key].is_string(), "{key}");
    }
    assert_eq!(
        json["checks"].as_array().unwrap().len(),
        checks.len(),
        "each check once"
    );
}
