//! The same with the service's capability and no other, as nobody; and without it.

use std::process::Command;

use netsetup::edge::firewall::{self, Firewall};
use netsetup::edge::netlink::Kernel;
use netsetup_core::observed::LinkConf;
use netsetup_core::plan::Step;
use netsetup_core::routing::{ROBOT_TABLE, Rule};

use crate::world::{
    address, apply_all, block_on, dead_end, in_new_namespace, ip, name, plug_in, route, rule,
};

const CAP_NET_ADMIN: u64 = 1 << 12;
const INSIDE: &str = "NETSETUP_TEST_INSIDE";
const RULESET: &str = "table inet spotstream {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n";

/// Makes the world as root, and runs the same test once more in it as nobody, with these capabilities.
pub(crate) fn as_nobody(test: &'static str, capabilities: &'static str) {
    in_new_namespace(async move || {
        plug_in();
        ip("addr add 192.168.50.21/24 dev robot noprefixroute");
        let output = Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--no-new-privs",
            ])
            .args(
                ["--inh-caps", "--ambient-caps", "--bounding-set"]
                    .map(|set| format!("{set}=-all{capabilities}")),
            )
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(INSIDE, "yes")
            .output()
            .unwrap();
        let (told, complaint) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success() && told.contains("1 passed"),
            "{told}{complaint}"
        );
    });
}

pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn effective_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

fn steps() -> [Step; 4] {
    let rule = Rule {
        to: Some(address("192.168.50.3")),
        ..rule(120, ROBOT_TABLE)
    };
    let conf = LinkConf {
        rp_filter: 0,
        arp_ignore: 2,
        arp_announce: 2,
        forwarding: 0,
    };
    [
        Step::AddRule(rule),
        Step::AddRoute(dead_end()),
        Step::AddRoute(route("192.168.50.0/24", "robot")),
        Step::ConfigureLink(name("robot"), conf),
    ]
}

#[test]
fn one_capability_is_enough_for_all_of_it() {
    if !is_inside() {
        return as_nobody(
            "privileges::one_capability_is_enough_for_all_of_it",
            ",+net_admin",
        );
    }
    assert_eq!(effective_capabilities(), CAP_NET_ADMIN);
    assert!(!nix::unistd::geteuid().is_root());
    block_on(async {
        let kernel = Kernel::open().unwrap();
        let mut watch = kernel.watch().await.unwrap();
        apply_all(&kernel, steps()).await;
        watch.next().await.unwrap();
        let seen = kernel.observe().await.unwrap();
        assert_eq!((seen.rules.len(), seen.routes.len()), (1, 2));
        let robot = seen.links.iter().find(|link| link.name == name("robot")).unwrap();
        assert_eq!((robot.conf.arp_ignore, robot.conf.arp_announce), (2, 2));
        apply_all(&kernel, seen.rules.into_iter().map(Step::DeleteRule)).await;
        apply_all(&kernel, seen.routes.into_iter().map(Step::DeleteRoute)).await;
        let seen = kernel.observe().await.unwrap();
        assert_eq!((seen.rules.len(), seen.routes.len()), (0, 0));

        let mut firewall = Firewall::open().unwrap();
        assert_eq!(firewall.observe().await.unwrap(), None);
        firewall::load(RULESET).await.unwrap();
        assert_eq!(firewall.observe().await.unwrap().as_deref(), Some(RULESET));
        assert_eq!(netsetup::edge::country::observe().await.unwrap(), None);
    });
}

#[test]
fn without_it_we_can_look_and_each_change_is_refused_in_a_plain_sentence() {
    if !is_inside() {
        return as_nobody(
            "privileges::without_it_we_can_look_and_each_change_is_refused_in_a_plain_sentence",
            "",
        );
    }
    assert_eq!(effective_capabilities(), 0);
    block_on(async {
        let kernel = Kernel::open().unwrap();
        assert_eq!(kernel.observe().await.unwrap().links.len(), 4);
        let takes = "this takes the capability CAP_NET_ADMIN, which netsetup has not got";
        let expected = [
            "add the rule '120: iif lo to 192.168.50.3 lookup 21328'",
            "add the route 'unreachable 0.0.0.0/0 metric 4294967295 table 21328'",
            "add the route '192.168.50.0/24 dev robot metric 0 table 21328'",
            "set the IPv4 settings of 'robot'",
        ];
        for (step, doing) in steps().iter().zip(expected) {
            let error = kernel.apply(step).await.unwrap_err();
            assert_eq!(error.to_string(), format!("failed to {doing}: {takes}"));
            assert_eq!(
                (error.kind(), error.is_retryable()),
                ("netlink-not-permitted", false)
            );
        }
        let error = kernel.watch().await.err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("failed to listen for changes of the network: {takes}")
        );
        let error = Firewall::open().unwrap().observe().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("failed to look at the firewall: {takes}")
        );
        assert_eq!(error.kind(), "netlink-not-permitted");
        let error = firewall::load(RULESET).await.unwrap_err();
        assert_eq!(error.kind(), "firewall-refused");
        assert!(error.to_string().contains("Operation not permitted"), "{error}");
    });
}
