//! A fresh network namespace for each test, and iproute2 as the referee.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

use netsetup::edge::netlink::Kernel;
use netsetup_core::names::InterfaceName;
use netsetup_core::plan::Step;
use netsetup_core::routing::{MAIN_TABLE, PROTOCOL, ROBOT_TABLE, Route, Rule};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

/// Runs a test in a thread and a network namespace of its own, which ends with it.
pub(crate) fn in_new_namespace<T: Future<Output = ()>>(test: impl FnOnce() -> T + Send + 'static) {
    assert!(
        nix::unistd::geteuid().is_root(),
        "the kernel tests make network namespaces: run them as root, in a root of their own (ci/test does)"
    );
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs here and now.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// `ip ARGUMENTS`, which must succeed.
pub(crate) fn ip(arguments: &str) -> String {
    let output = try_ip(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// `ip ARGUMENTS`.
pub(crate) fn try_ip(arguments: &str) -> Output {
    Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

/// `ip -j -d ARGUMENTS`.
pub(crate) fn ip_json(arguments: &str) -> Vec<Value> {
    let text = ip(&format!("-j -d {arguments}"));
    if text.trim().is_empty() {
        return Vec::new();
    }
    serde_json::from_str::<Vec<Value>>(&text)
        .unwrap()
        .into_iter()
        .filter(|entry| entry != &serde_json::json!({}))
        .collect()
}

/// A setting of an interface as the kernel's files have it.
pub(crate) fn setting(interface: &str, setting: &str) -> u32 {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/{setting}");
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

pub(crate) fn name(text: &str) -> InterfaceName {
    InterfaceName::parse(text).unwrap()
}

pub(crate) fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// A rule that says nothing but where to look.
pub(crate) fn rule(priority: u32, table: impl Into<Option<u32>>) -> Rule {
    Rule {
        priority,
        from: None,
        to: None,
        oif: None,
        service: None,
        table: table.into(),
    }
}

/// A route of ours by an interface, in the robot's table.
pub(crate) fn route(destination: &str, interface: &str) -> Route {
    Route {
        table: ROBOT_TABLE,
        destination: destination.parse().unwrap(),
        interface: Some(name(interface)),
        gateway: None,
        source: None,
        metric: 0,
        protocol: PROTOCOL,
    }
}

/// What is always in the robot's table.
pub(crate) fn dead_end() -> Route {
    Route {
        interface: None,
        metric: u32::MAX,
        ..route("0.0.0.0/0", "unused")
    }
}

/// The robot's cable and the uplink, up, without addresses. Their other ends are here too, as "far-...".
pub(crate) fn plug_in() {
    for link in ["robot", "uplink"] {
        ip(&format!("link add {link} type veth peer name far-{link}"));
        ip(&format!("link set {link} up"));
        ip(&format!("link set far-{link} up"));
    }
}

/// All rules for these two sides and these hosts of the robot.
pub(crate) fn rules(uplink_address: &str, robot_address: &str, hosts: &[&str]) -> Vec<Rule> {
    let or_nowhere = |priority, table: u32| [rule(priority, table), rule(priority + 1, None)];
    let mut rules = vec![
        Rule {
            oif: Some(name("uplink")),
            ..rule(100, MAIN_TABLE)
        },
        Rule {
            oif: Some(name("robot")),
            ..rule(104, ROBOT_TABLE)
        },
    ];
    rules.extend(or_nowhere(102, MAIN_TABLE).map(|rule| Rule {
        from: Some(address(uplink_address)),
        ..rule
    }));
    rules.extend(or_nowhere(106, ROBOT_TABLE).map(|rule| Rule {
        from: Some(address(robot_address)),
        ..rule
    }));
    for protocol in [6, 17] {
        rules.extend(or_nowhere(110, MAIN_TABLE).map(|rule| Rule {
            service: Some((protocol, 53)),
            ..rule
        }));
    }
    for host in hosts {
        rules.extend(or_nowhere(120, ROBOT_TABLE).map(|rule| Rule {
            to: Some(address(host)),
            ..rule
        }));
    }
    rules.sort();
    rules
}

pub(crate) async fn apply_all(kernel: &Kernel, steps: impl IntoIterator<Item = Step>) {
    for step in steps {
        kernel.apply(&step).await.unwrap();
    }
}
