//! The scenarios, each in a file of its own that reads as a story.

use crate::draw::Draw;
use crate::script::Script;

mod absent_stream;
mod bad_origin;
mod clock_steps;
mod crowd;
mod dialects;
mod dns;
mod drain_edge;
mod drain_origin;
mod edge_chain;
mod edge_partition;
mod edge_pull;
mod edge_restart;
mod encoder_jump;
mod encoder_loss;
mod failback;
pub mod failover;
mod frame_shapes;
mod hostile_peers;
mod hot_standby;
mod links;
pub mod many_streams;
mod mute_edge;
mod origin_crash;
mod origin_flap;
mod origin_freeze;
mod origin_mute;
mod origin_restart;
mod origins_all;
mod origins_gone;
mod origins_refuse;
mod overload;
mod persistent;
mod picture_change;
mod publisher;
mod redundancy;
mod registry;
mod reload;
mod restream;
mod second_publisher;
mod slow_edge;
mod slow_viewer;
mod soak;
mod suspicion;
mod swarm;
mod two_encoders;
mod unused_stream;

/// A story that can be asked for by name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub about: &'static str,
    /// Of the seeds that are asked for, one in so many is played, unless the scenario is asked for by its name: more than
    /// one for a scenario whose runs are long.
    pub one_in: usize,
    /// Writes it.
    pub write: fn(&mut Draw) -> Script,
}

/// Every scenario, in the order in which they are listed.
pub const ALL: &[Scenario] = &[
    frame_shapes::SCENARIO,
    edge_pull::SCENARIO,
    crowd::SCENARIO,
    absent_stream::SCENARIO,
    unused_stream::SCENARIO,
    origin_crash::SCENARIO,
    origin_freeze::SCENARIO,
    origin_mute::SCENARIO,
    suspicion::SCENARIO,
    origin_restart::SCENARIO,
    drain_origin::SCENARIO,
    drain_edge::SCENARIO,
    reload::SCENARIO,
    overload::SCENARIO,
    origin_flap::SCENARIO,
    bad_origin::SCENARIO,
    origins_all::SCENARIO,
    origins_gone::SCENARIO,
    origins_refuse::SCENARIO,
    persistent::SCENARIO,
    failback::SCENARIO,
    hot_standby::SCENARIO,
    many_streams::SCENARIO,
    two_encoders::SCENARIO,
    edge_restart::SCENARIO,
    edge_chain::SCENARIO,
    mute_edge::SCENARIO,
    edge_partition::SCENARIO,
    encoder_loss::SCENARIO,
    encoder_jump::SCENARIO,
    dialects::SCENARIO,
    picture_change::SCENARIO,
    second_publisher::SCENARIO,
    publisher::resume::SCENARIO,
    publisher::standby::SCENARIO,
    publisher::storm::SCENARIO,
    restream::SCENARIO,
    hostile_peers::SCENARIO,
    slow_viewer::SCENARIO,
    slow_edge::SCENARIO,
    links::SCENARIO,
    dns::SCENARIO,
    clock_steps::SCENARIO,
    soak::SCENARIO,
    swarm::SCENARIO,
    redundancy::shapes::SCENARIO,
    redundancy::restart::SCENARIO,
    redundancy::clocks::SCENARIO,
    redundancy::agreed::SCENARIO,
    redundancy::long::HOUR,
    redundancy::long::DAY,
    registry::standby::SCENARIO,
    registry::hand_over::SCENARIO,
    registry::drain::SCENARIO,
    registry::owner_paused::SCENARIO,
    registry::cut_off::SCENARIO,
    registry::emptied::SCENARIO,
    registry::promoted::SCENARIO,
    registry::clocks::SCENARIO,
    registry::two_publishers::SCENARIO,
    registry::late_release::SCENARIO,
    registry::store_away::SCENARIO,
    registry::swarm::SCENARIO,
];

impl Scenario {
    /// The scenario called `name`: one of these, or a cell of the matrix of failovers.
    pub fn named(name: &str) -> Option<Scenario> {
        let cells = failover::CELLS.iter().map(|cell| &cell.scenario);
        ALL.iter().chain(cells).find(|scenario| scenario.name == name).copied()
    }

    /// The script of `seed`.
    pub fn script(&self, seed: u64) -> Script {
        let mut draw = Draw::new(self.name, seed);
        let script = (self.write)(&mut draw);
        Script { scenario: self.name.to_owned(), seed, ..script }
    }
}
