//! The fuzz targets: one function per wire format, and one for each machine that is made of several. Whatever a target
//! is given, it returns: it panics when a promise is broken that its documentation makes. Targets are run by libFuzzer
//! (`fuzz/`) for as long as one likes, and by `cargo test` for a moment each with the inputs of
//! [`crate::mutate::Mutator`].
//!
//! A new target is a function here, a line in [`TARGETS`], and a file in `fuzz/fuzz_targets/`.
//!
//! Two shapes of input occur. A parser gets the bytes as they are. A machine gets a [`script::Script`]: every byte
//! decides something, so that any input is a sequence of events; or, if it reads a connection, [`script::Cuts`] and
//! then the bytes of the connection.

mod config;
mod hls;
mod media;
mod node;
mod ovt;
mod rtmp;
mod sample;
mod script;

use std::fs;
use std::path::Path;

use crate::binary::workspace;

pub use config::{origin_map, server_xml, url};
pub use hls::{hls_request, packager};
pub use media::{annexb_h264_h265_aac, timestamp};
pub use node::node;
pub use ovt::{ovt_edge, ovt_origin};
pub use rtmp::{amf0, flv_tag, rtmp_chunks, rtmp_publish, rtmp_publisher};

/// A target.
pub struct Target {
    /// Its name, also in `fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// What is run on every input.
    pub run: fn(&[u8]),
    /// Inputs to begin with: captured from real programs, or made by our own.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Inputs that broke a promise once, and must not again.
    pub examples: &'static [&'static [u8]],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "amf0", run: amf0, seeds: rtmp::amf0_seeds, examples: &[] },
    Target {
        name: "annexb_h264_h265_aac",
        run: annexb_h264_h265_aac,
        seeds: media::codec_seeds,
        examples: &[],
    },
    Target { name: "flv_tag", run: flv_tag, seeds: rtmp::flv_seeds, examples: &[] },
    Target { name: "hls_request", run: hls_request, seeds: hls::request_seeds, examples: &[] },
    Target { name: "node", run: node, seeds: node::seeds, examples: &[] },
    Target { name: "origin_map", run: origin_map, seeds: config::origin_map_seeds, examples: &[] },
    Target { name: "ovt_edge", run: ovt_edge, seeds: ovt::edge_seeds, examples: &[] },
    Target { name: "ovt_origin", run: ovt_origin, seeds: ovt::origin_seeds, examples: &[] },
    Target { name: "packager", run: packager, seeds: hls::packager_seeds, examples: &[] },
    Target { name: "rtmp_chunks", run: rtmp_chunks, seeds: rtmp::chunk_seeds, examples: &[] },
    Target { name: "rtmp_publish", run: rtmp_publish, seeds: rtmp::publish_seeds, examples: &[] },
    Target { name: "rtmp_publisher", run: rtmp_publisher, seeds: rtmp::publisher_seeds, examples: &[] },
    Target { name: "server_xml", run: server_xml, seeds: config::server_xml_seeds, examples: &[] },
    Target { name: "timestamp", run: timestamp, seeds: media::timestamp_seeds, examples: &[] },
    Target { name: "url", run: url, seeds: config::url_seeds, examples: &[] },
];

/// The most that is read of one captured file: what matters comes at the beginning.
const FILE_BYTES_MAX: usize = 1 << 16;

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// The inputs to begin with, the [`Target::examples`] first.
    ///
    /// # Panics
    ///
    /// If a captured file is not there, or there is nothing to begin with.
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let mut inputs: Vec<Vec<u8>> = self.examples.iter().map(|example| example.to_vec()).collect();
        inputs.extend((self.seeds)());
        assert!(!inputs.is_empty(), "{} has nothing to begin with", self.name);
        inputs
    }
}

/// The files of the repository with these names, and those in folders with these names, if they end in `ending`.
fn files(names: &[&str], ending: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for name in names {
        collect(&workspace().join(name), ending, &mut found);
    }
    assert!(!found.is_empty(), "{names:?} hold nothing that ends in {ending}");
    found
}

fn collect(path: &Path, ending: &str, found: &mut Vec<Vec<u8>>) {
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).expect("the folder can be read").flatten().collect();
        // The order of a folder depends on the machine, and the inputs on the order.
        entries.sort_by_key(fs::DirEntry::path);
        return entries.iter().for_each(|entry| collect(&entry.path(), ending, found));
    }
    if path.to_string_lossy().ends_with(ending) {
        let mut bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        bytes.truncate(FILE_BYTES_MAX);
        found.push(bytes);
    }
}
