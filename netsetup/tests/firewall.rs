//! The ruleset in a real kernel: what netsetup loads is what nft prints, so that comparing the two tells whether it is there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use netsetup_core::desired::Opening;
use netsetup_core::names::InterfaceName;
use netsetup_core::plan::firewall::{Sets, is_same, ruleset, transaction};

/// Runs a script in a network namespace of its own, which is gone afterwards.
fn in_a_new_namespace(script: &str, input: &str) -> String {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-euc", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn loaded(input: &str) -> String {
    in_a_new_namespace("nft -f -; nft -s list table inet spotstream", input)
}

fn full() -> Sets {
    Sets {
        robot: InterfaceName::parse("eth0"),
        uplink: InterfaceName::parse("wlx00c0cab1a2b3"),
        robot_hosts: ["192.168.50.3", "192.168.50.6", "10.0.0.3", "10.0.0.4", "9.1.2.3"]
            .map(|host| host.parse().unwrap())
            .into(),
        open: BTreeSet::from([Opening::StatusPage, Opening::Mdns, Opening::Ssh]),
    }
}

#[test]
fn what_is_loaded_is_what_nft_prints() {
    let only_robot = Sets {
        uplink: None,
        ..full()
    };
    let only_uplink = Sets {
        robot: None,
        open: BTreeSet::from([Opening::Mdns]),
        ..full()
    };
    for sets in [full(), only_robot, only_uplink, Sets::default()] {
        let wanted = ruleset(&sets);
        let printed = loaded(&transaction(&wanted));
        assert!(is_same(&printed, &wanted), "{printed}\n--- wanted\n{wanted}");
    }
}

#[test]
fn a_ruleset_without_long_sets_is_printed_to_the_letter() {
    let wanted = ruleset(&Sets {
        robot_hosts: BTreeSet::new(),
        ..full()
    });
    assert_eq!(loaded(&transaction(&wanted)), wanted);
}

#[test]
fn loading_takes_the_place_of_what_was_loaded_and_leaves_other_tables() {
    let other = "table inet other {\n\tchain c {\n\t\tdrop\n\t}\n}\n";
    let stranger = "table inet spotstream { chain input { accept; }; set uplink { type ipv4_addr; }; chain x { drop; }; }";
    let wanted = ruleset(&full());
    let script = format!(
        "printf '%s' '{other}' | nft -f -; printf '%s' '{stranger}' | nft -f -; \
         nft -f -; nft -s list table inet other; nft -s list table inet spotstream"
    );
    let printed = in_a_new_namespace(&script, &transaction(&wanted));
    let ours = printed.strip_prefix(other).expect("the other table is as it was");
    assert!(is_same(ours, &wanted), "{printed}");
}

#[test]
fn a_ruleset_that_nft_refuses_leaves_the_old_one_loaded() {
    let wanted = ruleset(&full());
    let broken = transaction(&wanted.replace("policy drop;\n\t\tiif", "policy drop;\n\t\tnonsense\n\t\tiif"));
    assert_ne!(broken, transaction(&wanted));
    let script = format!(
        "nft -f -; if nft -f - 2>/dev/null << 'END'\n{broken}END\nthen exit 1; fi; nft -s list table inet spotstream"
    );
    let printed = in_a_new_namespace(&script, &transaction(&wanted));
    assert!(is_same(&printed, &wanted), "{printed}");
}

#[test]
fn a_changed_rule_is_noticed() {
    let wanted = ruleset(&full());
    let printed = in_a_new_namespace(
        "nft -f -; nft add rule inet spotstream from_uplink accept; nft -s list table inet spotstream",
        &transaction(&wanted),
    );
    assert!(!is_same(&printed, &wanted));
}
