//! A node that is asked for one stream, as a viewer asks, and then why it answered so.
//!
//! What `headwater why` runs: the node, its decisions and its connections are those of a server, only nobody else comes.

use headwater_core::io::{Input, Machine, Output, RequestId, Service};
use headwater_core::node::{Node, Why, viewer_request};
use headwater_core::time::{Deadline, Now};
use headwater_core::url::Url;
use http::StatusCode;
use tokio::sync::oneshot;

/// What came of an inquiry.
#[derive(Debug)]
pub struct Found {
    /// What the viewer was answered.
    pub status: StatusCode,
    /// Why.
    pub why: Why,
}

/// A node with a question.
pub struct Inquiry {
    node: Node,
    url: Url,
    found: Option<oneshot::Sender<Found>>,
    now: Now,
}

const ID: RequestId = RequestId(0);

impl Inquiry {
    /// Asks `node` for the stream of `url`. The answer comes within the time that a viewer would wait at most.
    pub fn new(mut node: Node, url: Url, now: Now) -> (Inquiry, oneshot::Receiver<Found>) {
        let (found, answer) = oneshot::channel();
        let request = viewer_request(&url);
        let peer = ([127, 0, 0, 1], 0).into();
        node.handle(now, Input::Request { id: ID, service: Service::Http, peer, request });
        (Inquiry { node, url, found: Some(found), now }, answer)
    }
}

impl Machine for Inquiry {
    fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        self.node.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.node.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        loop {
            match self.node.poll_output()? {
                Output::Respond { id: ID, response } => {
                    let why = self.node.why(self.now, &self.url);
                    if let Some(found) = self.found.take() {
                        // Fails when nobody wants to know any more.
                        let _ = found.send(Found { status: response.status(), why });
                    }
                }
                output => return Some(output),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.node.poll_timeout()
    }
}
