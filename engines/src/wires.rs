//! Wires that can be cut, on one machine: every server of a script in a network namespace of its own, and between them
//! a router, in another one, that drops in silence what a rule tells it to drop. It needs Linux, root and `ip`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{self, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

/// The namespaces of some hosts. They are gone when this is dropped.
#[derive(Debug)]
pub struct Wires {
    /// What everything here begins with in the names that the whole machine sees.
    prefix: String,
    hosts: Vec<String>,
    /// What the router drops: from where, to where, or everything.
    rules: BTreeSet<[String; 2]>,
}

impl Wires {
    /// Whether this machine allows it: it is tried, once.
    pub fn are_allowed() -> bool {
        static ALLOWED: OnceLock<bool> = OnceLock::new();
        *ALLOWED.get_or_init(|| Wires::lay(&["probe"]).is_ok())
    }

    /// Connects hosts of these names with each other and with this process.
    ///
    /// # Errors
    /// If the machine does not allow it.
    pub fn lay(names: &[&str]) -> Result<Wires> {
        let hosts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        ensure!(hosts.len() <= HOSTS_MAX, "{} hosts are more than {HOSTS_MAX}", hosts.len());
        // The machine takes its time to forget a wire, so none gets the name of another.
        static LAID: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("hw{}-{}", process::id(), LAID.fetch_add(1, Ordering::Relaxed));
        let mut wires = Wires { prefix, hosts, rules: BTreeSet::new() };
        let router = wires.namespace("router");
        ip(&["netns", "add", &router])?;
        // This process stays where it is, at the other end of the first wire.
        wires.connect(0, None)?;
        let all = format!("{}.0/24", wires.network());
        ip(&["route", "add", &all, "via", &wires.end(0, ROUTER)])?;
        for index in 1..=wires.hosts.len() {
            let name = wires.hosts[index - 1].clone();
            ip(&["netns", "add", &wires.namespace(&name)])?;
            wires.connect(index, Some(&name))?;
        }
        let forward = format!("echo 1 > {IP_FORWARD}");
        ip(&["netns", "exec", &router, "sh", "-c", &forward])?;
        Ok(wires)
    }

    /// A wire from the router to the host of this number.
    fn connect(&mut self, index: usize, name: Option<&str>) -> Result<()> {
        let (router, plug) = (self.namespace("router"), format!("{}-{index}", self.prefix));
        let (ours, theirs) =
            (format!("{}/30", self.end(index, ROUTER)), format!("{}/30", self.end(index, HOST)));
        ip(&["link", "add", &plug, "type", "veth", "peer", "name", &plug, "netns", &router])?;
        ip(&["-n", &router, "addr", "add", &ours, "dev", &plug])?;
        ip(&["-n", &router, "link", "set", &plug, "up"])?;
        let Some(name) = name else {
            ip(&["addr", "add", &theirs, "dev", &plug])?;
            return ip(&["link", "set", &plug, "up"]);
        };
        let home = self.namespace(name);
        ip(&["link", "set", &plug, "netns", &home])?;
        ip(&["-n", &home, "addr", "add", &theirs, "dev", &plug])?;
        ip(&["-n", &home, "link", "set", &plug, "up"])?;
        ip(&["-n", &home, "link", "set", "lo", "up"])?;
        ip(&["-n", &home, "route", "add", "default", "via", &self.end(index, ROUTER)])
    }

    /// The address of a host.
    pub fn address(&self, name: &str) -> String {
        let index = self.hosts.iter().position(|known| known == name).map_or(0, |index| index + 1);
        self.end(index, HOST)
    }

    /// A command that runs `program` on a host.
    pub fn on(&self, name: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(name)]).arg(program);
        command
    }

    /// Drops what `from` sends to `to`; any host is meant where none is named.
    ///
    /// # Errors
    /// If the router does not take the rule.
    pub fn cut(&mut self, from: Option<&str>, to: Option<&str>) -> Result<()> {
        let rule = [from, to].map(|end| end.map_or(ANYWHERE.to_owned(), |name| self.address(name)));
        if !self.rules.contains(&rule) {
            self.rule("add", &rule)?;
            self.rules.insert(rule);
        }
        Ok(())
    }

    /// Lets through again what `from` sends to `to`, if that was cut with these words.
    ///
    /// # Errors
    /// If the router does not let go of the rule.
    pub fn heal(&mut self, from: Option<&str>, to: Option<&str>) -> Result<()> {
        let rule = [from, to].map(|end| end.map_or(ANYWHERE.to_owned(), |name| self.address(name)));
        if self.rules.remove(&rule) { self.rule("del", &rule) } else { Ok(()) }
    }

    fn rule(&self, verb: &str, [from, to]: &[String; 2]) -> Result<()> {
        ip(&["-n", &self.namespace("router"), "rule", verb, "from", from, "to", to, "blackhole"])
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The first three numbers of every address: a network that is set aside for measurements (RFC 2544).
    fn network(&self) -> String {
        format!("198.18.{}", process::id() % 256)
    }

    fn end(&self, index: usize, end: usize) -> String {
        format!("{}.{}", self.network(), 4 * index + end)
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        // A wire goes with either of its ends; this one's address must be free at once.
        let _ = ip(&["link", "del", &format!("{}-0", self.prefix)]);
        let hosts = self.hosts.iter().map(String::as_str).chain(["router"]);
        for namespace in hosts.map(|name| self.namespace(name)) {
            if fs::exists(format!("/run/netns/{namespace}")).unwrap_or(false) {
                // What is still there is in nobody's way: its name is this process's.
                let _ = ip(&["netns", "del", &namespace]);
            }
        }
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("`ip` (iproute2) could not be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`ip {}`: {}", words.join(" "), said.trim());
    Ok(())
}

const ROUTER: usize = 1;
const HOST: usize = 2;
/// A wire takes four of 256 addresses, and this process has one.
const HOSTS_MAX: usize = 60;
const ANYWHERE: &str = "0.0.0.0/0";
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
