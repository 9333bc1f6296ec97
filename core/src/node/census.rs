//! What a node holds, see [`crate::census`]. Every collection of the node and of its children is walked here: a new
//! one belongs into this file too.

use crate::census::Census;

use super::Node;
use super::stream::{Source, Stream};

impl Node {
    pub(super) fn count(&self) -> Census {
        let mut census = Census {
            publishers: self.publishers.len(),
            clients: self.clients.len(),
            pulls: self.pulled.len(),
            streams: self.streams.len().max(self.names.len()),
            starting_pulls: self.starting.len(),
            deadlines: self.timers.len(),
            outputs: self.out.len(),
            absent_streams: self.absent.len(),
            ended_streams: self.ended.len(),
            ..Census::default()
        };
        for publisher in self.publishers.values() {
            publisher.count(&mut census);
        }
        for client in self.clients.values() {
            client.count(&mut census);
        }
        for stream in self.streams.values() {
            stream.count(&mut census);
        }
        for directory in self.directories.values() {
            directory.count(&mut census);
        }
        census.waiting_requests = census.waiting_requests.max(self.parked.len());
        census
    }
}

impl Stream {
    fn count(&self, census: &mut Census) {
        census.playing_clients += self.clients.len();
        census.held_describes += self.describes.len();
        census.waiting_requests += self.waiting.entries();
        census.history_bytes += self.channel.bytes();
        if let Some(outputs) = self.outputs() {
            outputs.count(census);
        }
        match &self.source {
            Source::Publisher(broadcast) => broadcast.count(census),
            Source::Pull(pull) => pull.count(census),
        }
    }
}
