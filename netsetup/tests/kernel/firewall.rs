use std::process::Command;

use netsetup::edge::firewall::{self, Firewall};
use nix::sys::resource::{UsageWho, getrusage};

use crate::privileges::{as_nobody, is_inside};
use crate::world::{block_on, in_new_namespace};

const RULES: &str = "table inet spotstream {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 80 counter packets 0 bytes 0 accept
	}
}
";

#[test]
fn a_ruleset_takes_the_place_of_the_one_before() {
    in_new_namespace(async || {
        let mut firewall = Firewall::open().unwrap();
        assert_eq!(firewall.observe().await.unwrap(), None);
        for _ in 0..2 {
            firewall::load(RULES).await.unwrap();
            let seen = firewall.observe().await.unwrap().unwrap();
            assert_eq!(seen.matches("tcp dport 80").count(), 1, "{seen}");
            assert!(
                !seen.contains("packets"),
                "numbers of packets would make each look differ: {seen}"
            );
        }
        firewall::load(&RULES.replace("80", "8080")).await.unwrap();
        let seen = firewall.observe().await.unwrap().unwrap();
        assert!(
            seen.contains("dport 8080") && !seen.contains("dport 80 "),
            "{seen}"
        );
    });
}

#[test]
fn a_ruleset_with_a_mistake_changes_nothing_and_nft_says_why() {
    in_new_namespace(async || {
        let mut firewall = Firewall::open().unwrap();
        firewall::load(RULES).await.unwrap();
        let before = firewall.observe().await.unwrap();
        let syntax = firewall::load("table inet spotstream { nonsense }")
            .await
            .unwrap_err();
        assert!(
            syntax
                .to_string()
                .starts_with("failed to load the firewall's table 'inet spotstream': syntax error"),
            "{syntax}"
        );
        // Refused by the kernel, not by nft: the transaction has begun.
        let late = firewall::load("table inet spotstream { chain a { jump b; } }")
            .await
            .unwrap_err();
        assert_eq!((late.kind(), late.is_retryable()), ("firewall-refused", false));
        assert_eq!(firewall.observe().await.unwrap(), before);
    });
}

#[test]
fn what_is_loaded_can_be_loaded_again_as_it_was_seen() {
    in_new_namespace(async || {
        let mut firewall = Firewall::open().unwrap();
        firewall::load(RULES).await.unwrap();
        let seen = firewall.observe().await.unwrap().unwrap();
        firewall::load(&seen).await.unwrap();
        assert_eq!(firewall.observe().await.unwrap().unwrap(), seen);
    });
}

#[test]
fn what_somebody_else_changes_is_seen() {
    in_new_namespace(async || {
        let mut firewall = Firewall::open().unwrap();
        firewall::load(RULES).await.unwrap();
        assert!(firewall.observe().await.unwrap().is_some());
        for (command, is_there) in [
            ("add table inet other", true),
            ("delete table inet spotstream", false),
            ("add table inet spotstream", true),
        ] {
            let nft = Command::new("nft").args(command.split(' ')).status().unwrap();
            assert!(nft.success(), "{command}");
            assert_eq!(firewall.observe().await.unwrap().is_some(), is_there, "{command}");
        }
    });
}

#[test]
fn nft_is_not_asked_again_while_nothing_changes() {
    // In a process of its own, whose children are nobody else's.
    if !is_inside() {
        return as_nobody(
            "firewall::nft_is_not_asked_again_while_nothing_changes",
            ",+net_admin",
        );
    }
    let children = || getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().minor_page_faults();
    block_on(async {
        let mut firewall = Firewall::open().unwrap();
        firewall::load(RULES).await.unwrap();
        let before = children();
        let seen = firewall.observe().await.unwrap();
        let once = children();
        assert!(once > before, "a program that has run is seen here");
        for _ in 0..20 {
            assert_eq!(firewall.observe().await.unwrap(), seen);
        }
        assert_eq!(children(), once);
    });
}
