//! The composition: one server process as a value.

use crate::config::Config;
use crate::io::{Input, Machine, Output};
use crate::time::{Deadline, Now};

/// One server: an origin, an edge, or both, as its configuration says.
pub struct Node {
    _config: Config,
}

impl Node {
    /// A node that has heard nothing yet. `seed` is the only source of its randomness.
    pub fn new(config: Config, _seed: u64, _now: Now) -> Node {
        Node { _config: config }
    }
}

impl Machine for Node {
    fn handle(&mut self, _now: Now, _input: Input) {}
    fn handle_timeout(&mut self, _now: Now) {}
    fn poll_output(&mut self) -> Option<Output> {
        None
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}
