use netsetup::edge::firewall;

use crate::world::in_new_namespace;

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
        assert_eq!(firewall::observe().await.unwrap(), None);
        for _ in 0..2 {
            firewall::load(RULES).await.unwrap();
            let seen = firewall::observe().await.unwrap().unwrap();
            assert_eq!(seen.matches("tcp dport 80").count(), 1, "{seen}");
            assert!(
                !seen.contains("packets"),
                "numbers of packets would make each look differ: {seen}"
            );
        }
        firewall::load(&RULES.replace("80", "8080")).await.unwrap();
        let seen = firewall::observe().await.unwrap().unwrap();
        assert!(
            seen.contains("dport 8080") && !seen.contains("dport 80 "),
            "{seen}"
        );
    });
}

#[test]
fn a_ruleset_with_a_mistake_changes_nothing_and_nft_says_why() {
    in_new_namespace(async || {
        firewall::load(RULES).await.unwrap();
        let before = firewall::observe().await.unwrap();
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
        assert_eq!(firewall::observe().await.unwrap(), before);
    });
}

#[test]
fn what_is_loaded_can_be_loaded_again_as_it_was_seen() {
    in_new_namespace(async || {
        firewall::load(RULES).await.unwrap();
        let seen = firewall::observe().await.unwrap().unwrap();
        firewall::load(&seen).await.unwrap();
        assert_eq!(firewall::observe().await.unwrap().unwrap(), seen);
    });
}
