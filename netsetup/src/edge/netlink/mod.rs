//! The kernel's links, addresses, routes and rules: looked at, changed, watched (rtnetlink(7)).
//!
//! Looking takes no privilege, changing takes CAP_NET_ADMIN. netlink-proto (MIT) moves the messages and
//! netlink-packet-route (MIT) knows their bytes; rtnetlink on top of them hides the flag that says that a list changed
//! while it was read, and is not used.

mod error;
mod exchange;
mod links;
mod routes;
mod rules;
mod watch;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_proto::sys::protocols::NETLINK_ROUTE;
use netsetup_core::names::InterfaceName;
use netsetup_core::observed::{Address, Link, LinkConf};
use netsetup_core::plan::Step;
use netsetup_core::routing::{Route, Rule};

pub use error::Error;
pub(super) use exchange::Exchange;
pub use watch::{Notice, Watch};

/// One look at the kernel's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Links without loopback, by name.
    pub links: Vec<Link>,
    /// IPv4 addresses without loopback's, by interface.
    pub addresses: Vec<Address>,
    /// IPv4 routes of the main and of the robot's table.
    pub routes: Vec<Route>,
    /// IPv4 rules that bear our mark.
    pub rules: Vec<Rule>,
}

/// A way to ask the kernel, in the network namespace where it was opened.
#[derive(Clone, Debug)]
pub struct Kernel(Exchange<RouteNetlinkMessage>);

impl Kernel {
    /// Opens a socket, which a task of the current runtime serves.
    pub fn open() -> Result<Self, Error> {
        Exchange::open(NETLINK_ROUTE, "look at the network").map(Self)
    }

    /// Looks at all there is. Each list is whole in itself; what changes between two of them is told by [`Watch`].
    pub async fn observe(&self) -> Result<Seen, Error> {
        let mut links = self.links().await?;
        links.sort_by(|a, b| a.name.cmp(&b.name));

        let messages = self.0.list(links::all_addresses(), "list the addresses").await?;
        let mut addresses: Vec<_> = messages
            .iter()
            .filter_map(|message| {
                if let RouteNetlinkMessage::NewAddress(address) = message {
                    links::read_address(address, &links)
                } else {
                    None
                }
            })
            .collect();
        addresses.sort_by(|a, b| (&a.interface, a.address).cmp(&(&b.interface, b.address)));

        let messages = self.0.list(routes::all(), "list the routes").await?;
        let mut routes: Vec<_> = messages
            .iter()
            .flat_map(|message| {
                if let RouteNetlinkMessage::NewRoute(route) = message {
                    routes::read(route, &links)
                } else {
                    Vec::new()
                }
            })
            .collect();
        routes.sort();
        // The list of routes has no mark of change, and may tell one twice while others come and go.
        routes.dedup();

        let mut rules = self.rules("list the rules").await?;
        rules.sort();
        Ok(Seen {
            links,
            addresses,
            routes,
            rules,
        })
    }

    /// Does one step. What is there already, or gone already, is as good as done; that it is right, a look says.
    pub async fn apply(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::AddRule(rule) => self.add_rule(rule).await,
            Step::DeleteRule(rule) => self.delete_rule(rule).await,
            Step::AddRoute(route) => self.add_route(route).await,
            Step::DeleteRoute(route) => self.delete_route(route).await,
            Step::ConfigureLink(interface, conf) => self.configure(interface, *conf).await,
            Step::LoadFirewall(_)
            | Step::SetCountry(_)
            | Step::Manage(_)
            | Step::AddProfile(_)
            | Step::UpdateProfile(_)
            | Step::DeleteProfile(_)
            | Step::Activate(..) => Err(Error::ForeignStep),
        }
    }

    /// Listens for changes, from now on.
    pub async fn watch(&self) -> Result<Watch, Error> {
        Watch::open(self).await
    }

    async fn links(&self) -> Result<Vec<Link>, Error> {
        let messages = self.0.list(links::all(), "list the links").await?;
        let read = |message: &RouteNetlinkMessage| {
            if let RouteNetlinkMessage::NewLink(link) = message {
                links::read(link)
            } else {
                None
            }
        };
        Ok(messages.iter().filter_map(read).collect())
    }

    async fn rules(&self, doing: &str) -> Result<Vec<Rule>, Error> {
        let messages = self.0.list(rules::all(), doing).await?;
        let read = |message: &RouteNetlinkMessage| {
            if let RouteNetlinkMessage::NewRule(rule) = message {
                rules::read(rule)
            } else {
                None
            }
        };
        Ok(messages.iter().filter_map(read).collect())
    }

    async fn add_rule(&self, rule: &Rule) -> Result<(), Error> {
        let doing = format!("add the rule '{}'", rules::describe(rule));
        let add = |flags| {
            let message = RouteNetlinkMessage::NewRule(rules::write(rule));
            self.0.request(message, NLM_F_CREATE | flags, &doing)
        };
        let answer = add(NLM_F_EXCL).await;
        if !is_refused(&answer, &[libc::EEXIST]) {
            return answer.map(drop);
        }
        // The kernel overlooks a "not" when it looks for the same rule (`rule_exists` in net/core/fib_rules.c).
        // Somebody else's is left alone, and ours stands beside it.
        if self.rules(&doing).await?.contains(rule) {
            return Ok(());
        }
        add(0).await.map(drop)
    }

    async fn delete_rule(&self, rule: &Rule) -> Result<(), Error> {
        let doing = format!("delete the rule '{}'", rules::describe(rule));
        let message = RouteNetlinkMessage::DelRule(rules::write(rule));
        unless(self.0.request(message, 0, &doing).await, &[libc::ENOENT])
    }

    async fn add_route(&self, route: &Route) -> Result<(), Error> {
        let doing = format!("add the route '{}'", routes::describe(route));
        let index = match &route.interface {
            Some(interface) => Some(self.index(interface, &doing).await?),
            None => None,
        };
        let message = RouteNetlinkMessage::NewRoute(routes::write(route, index));
        let answer = self.0.request(message, NLM_F_CREATE | NLM_F_EXCL, &doing).await;
        unless(answer, &[libc::EEXIST])
    }

    async fn delete_route(&self, route: &Route) -> Result<(), Error> {
        let doing = format!("delete the route '{}'", routes::describe(route));
        let index = match &route.interface {
            Some(interface) => match self.index(interface, &doing).await {
                // A link takes its routes along.
                Err(Error::NoInterface { .. }) => return Ok(()),
                index => Some(index?),
            },
            None => None,
        };
        let message = RouteNetlinkMessage::DelRoute(routes::write_for_deletion(route, index));
        let answer = self.0.request(message, 0, &doing).await;
        unless(answer, &[libc::ESRCH, libc::ENOENT])
    }

    async fn configure(&self, interface: &InterfaceName, conf: LinkConf) -> Result<(), Error> {
        let doing = format!("set the IPv4 settings of '{interface}'");
        let answer = self.0.request(links::configure(interface, conf), 0, &doing).await;
        named(answer, interface).map(drop)
    }

    async fn index(&self, interface: &InterfaceName, doing: &str) -> Result<u32, Error> {
        let answer = self.0.request(links::by_name(interface), 0, doing).await;
        let found = named(answer, interface)?.into_iter().find_map(|message| {
            if let RouteNetlinkMessage::NewLink(link) = message {
                Some(link.header.index)
            } else {
                None
            }
        });
        found.ok_or_else(|| Error::NoInterface {
            doing: doing.to_owned(),
            interface: interface.clone(),
        })
    }
}

/// These refusals say that there is nothing left to do.
fn unless<T>(answer: Result<T, Error>, nothing_to_do: &[i32]) -> Result<(), Error> {
    if is_refused(&answer, nothing_to_do) {
        return Ok(());
    }
    answer.map(drop)
}

fn is_refused<T>(answer: &Result<T, Error>, with: &[i32]) -> bool {
    match answer {
        Err(Error::Refused { source, .. }) => source.raw_os_error().is_some_and(|code| with.contains(&code)),
        _ => false,
    }
}

/// Says which interface is missing.
fn named<T>(answer: Result<T, Error>, interface: &InterfaceName) -> Result<T, Error> {
    if is_refused(&answer, &[libc::ENODEV])
        && let Err(Error::Refused { doing, .. }) = answer
    {
        let interface = interface.clone();
        return Err(Error::NoInterface { doing, interface });
    }
    answer
}
