use std::collections::BTreeSet;

use netsetup::edge::netlink::Kernel;
use netsetup_core::plan::Step;
use netsetup_core::routing::{MAIN_TABLE, ROBOT_TABLE, Route, Rule};
use serde_json::Value;

use crate::world::{
    address, apply_all, dead_end, in_new_namespace, ip, ip_json, name, plug_in, route, rule, rules,
};

const HOSTS: [&str; 3] = ["192.168.50.3", "192.168.50.6", "10.0.0.3"];

/// The rule in the words of `ip -j rule`.
fn words(rule: &Rule) -> Value {
    let mut words = serde_json::json!({
        "priority": rule.priority,
        "src": rule.from.map_or("all".to_owned(), |from| from.to_string()),
        "iif": "lo",
        "protocol": "83",
    });
    match rule.table {
        Some(MAIN_TABLE) => words["table"] = "main".into(),
        Some(table) => words["table"] = table.to_string().into(),
        None => words["action"] = "unreachable".into(),
    }
    if let Some(to) = rule.to {
        words["dst"] = to.to_string().into();
    }
    if let Some(oif) = &rule.oif {
        words["oif"] = oif.as_str().into();
    }
    if let Some((protocol, port)) = rule.service {
        words["ipproto"] = if protocol == 6 { "tcp" } else { "udp" }.into();
        words["dport"] = port.into();
    }
    words
}

fn text(entries: impl IntoIterator<Item = Value>) -> BTreeSet<String> {
    entries.into_iter().map(|entry| entry.to_string()).collect()
}

/// Linux 6.15 and later say of each port that all of its bits count.
fn without_the_whole_port(mut rule: Value) -> Value {
    if let Some(mask) = rule.as_object_mut().unwrap().remove("dport_mask") {
        assert_eq!(mask, "0xffff");
    }
    rule
}

/// All but the kernel's own three.
fn foreign_rules() -> Vec<Value> {
    let own = [0, 32766, 32767].map(Value::from);
    ip_json("-4 rule show")
        .into_iter()
        .map(without_the_whole_port)
        .filter(|rule| !own.contains(&rule["priority"]))
        .collect()
}

#[test]
fn rules_are_made_as_they_are_meant_and_twice_is_once() {
    in_new_namespace(async || {
        plug_in();
        let kernel = Kernel::open().unwrap();
        let wanted = rules("192.168.50.40", "192.168.50.21", &HOSTS);
        for _ in 0..2 {
            apply_all(&kernel, wanted.iter().cloned().map(Step::AddRule)).await;
            assert_eq!(foreign_rules().len(), wanted.len());
            assert_eq!(text(foreign_rules()), text(wanted.iter().map(words)));
            assert_eq!(kernel.observe().await.unwrap().rules, wanted);
        }
        for _ in 0..2 {
            apply_all(&kernel, wanted.iter().cloned().map(Step::DeleteRule)).await;
            assert_eq!(foreign_rules(), Vec::<Value>::new());
            assert_eq!(kernel.observe().await.unwrap().rules, []);
        }
        assert_eq!(ip_json("-4 rule show").len(), 3);
    });
}

#[test]
fn a_rule_of_somebody_else_is_neither_seen_nor_taken_away() {
    in_new_namespace(async || {
        let kernel = Kernel::open().unwrap();
        let ours = Rule {
            to: Some(address("192.168.50.3")),
            ..rule(120, ROBOT_TABLE)
        };
        // With our mark, but with a word more than we ever say.
        ip("rule add pref 120 iif lo to 192.168.50.3 fwmark 7 lookup 21328 protocol 83");
        ip("rule add pref 120 to 192.168.50.3 lookup 21328 protocol 83");
        ip("rule add pref 120 not iif lo to 192.168.50.3 lookup 21328 protocol 83");
        ip("rule add pref 120 iif lo to 192.168.50.0/24 lookup 21328 protocol 83");
        ip("rule add pref 120 iif lo to 192.168.50.3 blackhole protocol 83");
        ip("rule add pref 120 iif lo to 192.168.50.3 ipproto udp dport 1-99 lookup 21328 protocol 83");
        let theirs = text(foreign_rules());
        assert_eq!(kernel.observe().await.unwrap().rules, []);

        apply_all(&kernel, [Step::AddRule(ours.clone())]).await;
        assert_eq!(kernel.observe().await.unwrap().rules, std::slice::from_ref(&ours));
        assert_eq!(foreign_rules().len(), theirs.len() + 1);
        assert!(text(foreign_rules()).is_superset(&theirs));
    });
}

#[test]
fn a_rule_that_somebody_else_has_made_just_like_ours_is_not_in_the_way_of_ours() {
    in_new_namespace(async || {
        plug_in();
        let kernel = Kernel::open().unwrap();
        ip("rule add pref 120 iif lo to 192.168.50.3 lookup 21328");
        ip("rule add pref 110 iif lo ipproto udp dport 53 lookup main protocol 4");
        ip("rule add pref 120 iif lo to 192.168.50.4 lookup 21328");
        assert_eq!(kernel.observe().await.unwrap().rules, []);
        let wanted = rules("192.168.50.40", "192.168.50.21", &HOSTS);
        for _ in 0..2 {
            apply_all(&kernel, wanted.iter().cloned().map(Step::AddRule)).await;
            assert_eq!(kernel.observe().await.unwrap().rules, wanted);
            assert_eq!(foreign_rules().len(), wanted.len() + 3);
        }
        apply_all(&kernel, wanted.iter().cloned().map(Step::DeleteRule)).await;
        assert_eq!(foreign_rules().len(), 3);
    });
}

#[test]
fn routes_are_made_as_they_are_meant_and_twice_is_once() {
    in_new_namespace(async || {
        plug_in();
        ip("addr add 192.168.50.21/24 dev robot noprefixroute");
        let kernel = Kernel::open().unwrap();
        let net = Route {
            source: Some(address("192.168.50.21")),
            metric: 5,
            ..route("192.168.50.0/24", "robot")
        };
        let beyond = Route {
            gateway: Some(address("192.168.50.3")),
            ..route("10.0.0.0/24", "robot")
        };
        let mut wanted = vec![net.clone(), beyond.clone(), dead_end()];
        wanted.sort();
        // The way to a gateway comes first.
        let in_order = [net, beyond, dead_end()];
        for _ in 0..2 {
            apply_all(&kernel, in_order.iter().cloned().map(Step::AddRoute)).await;
            assert_eq!(kernel.observe().await.unwrap().routes, wanted);
            let mut told: Vec<_> = ip(&format!("-4 route show table {ROBOT_TABLE}"))
                .lines()
                .map(|line| line.trim().to_owned())
                .collect();
            told.sort();
            let expected = [
                "10.0.0.0/24 via 192.168.50.3 dev robot proto 83",
                "192.168.50.0/24 dev robot proto 83 scope link src 192.168.50.21 metric 5",
                "unreachable default proto 83 metric 4294967295",
            ];
            assert_eq!(told, expected);
        }
        for _ in 0..2 {
            apply_all(&kernel, in_order.iter().rev().cloned().map(Step::DeleteRoute)).await;
            assert_eq!(kernel.observe().await.unwrap().routes, []);
        }
        // The table is gone as well now.
        apply_all(&kernel, [Step::DeleteRoute(dead_end())]).await;
    });
}

#[test]
fn the_routes_of_the_main_and_the_robots_table_are_seen_and_no_others() {
    in_new_namespace(async || {
        plug_in();
        ip("addr add 192.168.50.40/24 dev uplink");
        ip("route add default via 192.168.50.1 dev uplink proto dhcp metric 600");
        ip("route add 192.0.2.0/24 dev uplink table 77");
        ip("route add blackhole 203.0.113.0/24 metric 9 table 21328");
        ip("route add 198.51.100.0/24 table 21328 nexthop dev uplink nexthop via 192.168.50.9 dev uplink");
        let seen = Kernel::open().unwrap().observe().await.unwrap().routes;
        let main = |destination, protocol| Route {
            table: MAIN_TABLE,
            protocol,
            ..route(destination, "uplink")
        };
        let boot = |destination| Route {
            protocol: 3,
            ..route(destination, "uplink")
        };
        let mut expected = vec![
            Route {
                source: Some(address("192.168.50.40")),
                ..main("192.168.50.0/24", 2)
            },
            Route {
                gateway: Some(address("192.168.50.1")),
                metric: 600,
                ..main("0.0.0.0/0", 16)
            },
            Route {
                interface: None,
                metric: 9,
                ..boot("203.0.113.0/24")
            },
            boot("198.51.100.0/24"),
            Route {
                gateway: Some(address("192.168.50.9")),
                ..boot("198.51.100.0/24")
            },
        ];
        expected.sort();
        assert_eq!(seen, expected);
    });
}

#[test]
fn whatever_a_stranger_put_in_the_place_of_the_dead_end_can_be_taken_away() {
    in_new_namespace(async || {
        let kernel = Kernel::open().unwrap();
        for kind in ["throw", "blackhole", "prohibit", "unreachable"] {
            apply_all(&kernel, [Step::AddRoute(dead_end())]).await;
            ip(&format!(
                "route replace {kind} default metric 4294967295 table 21328"
            ));
            let seen = kernel.observe().await.unwrap().routes;
            assert_eq!(
                seen,
                [Route {
                    protocol: 3,
                    ..dead_end()
                }],
                "{kind}"
            );
            apply_all(&kernel, seen.into_iter().map(Step::DeleteRoute)).await;
            assert_eq!(kernel.observe().await.unwrap().routes, [], "{kind}");
        }
    });
}

#[test]
fn a_route_by_a_link_that_is_away_cannot_be_made_and_need_not_be_deleted() {
    in_new_namespace(async || {
        plug_in();
        let kernel = Kernel::open().unwrap();
        let away = route("192.168.50.0/24", "gone");
        let error = kernel.apply(&Step::AddRoute(away.clone())).await.unwrap_err();
        assert_eq!(error.kind(), "netlink-no-interface");
        assert!(error.to_string().contains("'gone'"), "{error}");
        kernel.apply(&Step::DeleteRoute(away)).await.unwrap();

        ip("link set robot down");
        let down = route("192.168.50.0/24", "robot");
        let error = kernel.apply(&Step::AddRoute(down)).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("failed to add the route '192.168.50.0/24 dev robot metric 0 table 21328': ")
        );
    });
}

#[test]
fn a_step_that_is_not_the_kernels_is_refused() {
    in_new_namespace(async || {
        let kernel = Kernel::open().unwrap();
        let error = kernel.apply(&Step::Manage(name("robot"))).await.unwrap_err();
        assert_eq!(error.kind(), "netlink-foreign-step");
    });
}
