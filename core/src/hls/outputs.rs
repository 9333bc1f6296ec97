//! All that a stream is packaged as: LL-HLS, HLS version 3, or both, as its application is configured.

use super::packager::{Answer, Numbers, Packager, PackagerEvent, Response, not_found};
use super::request::{Request, RequestError};
use super::tag::Tags;
use super::ts::{TsPackager, TsRequest};
use crate::census::Census;
use crate::config::Publishers;
use crate::media::{Packet, StreamInfo};

/// A stream's packagers, at least one.
#[derive(Debug)]
pub struct Outputs {
    ll_hls: Option<Packager>,
    hls: Option<TsPackager>,
    tags: Tags,
}

/// Where the numbers of each output begin: their segments need not be equally long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstNumbers {
    /// Of LL-HLS.
    pub ll_hls: Numbers,
    /// Of HLS version 3.
    pub hls: Numbers,
}

/// What a viewer wants of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Something of HLS version 3.
    Hls(TsRequest),
    /// Something of LL-HLS.
    LlHls(Request),
}

impl Wanted {
    /// Reads the last segment of a path, and the query behind the `?`, as a request to an application with these
    /// publishers. Of names that both could have, LL-HLS has all that HLS does not mark as its own.
    pub fn parse(publishers: &Publishers, file: &str, query: Option<&str>) -> Result<Wanted, RequestError> {
        if publishers.hls.is_some()
            && let Some(request) = TsRequest::parse(file, query)
        {
            return request.map(Wanted::Hls);
        }
        match &publishers.llhls {
            Some(_) => Request::parse(file, query).map(Wanted::LlHls),
            None => Err(RequestError::UnknownFile(file.chars().take(200).collect())),
        }
    }

    /// Whether it is a master playlist, with which watching begins.
    pub fn is_master(&self) -> bool {
        matches!(self, Wanted::Hls(TsRequest::Master { .. }) | Wanted::LlHls(Request::Master { .. }))
    }

    /// Whether it can be the beginning of watching; anything else names what was told in a playlist.
    pub fn is_playlist(&self) -> bool {
        match self {
            Wanted::Hls(request) => request.is_playlist(),
            Wanted::LlHls(request) => matches!(request, Request::Chunklist { .. } | Request::Master { .. }),
        }
    }
}

impl Outputs {
    /// The packagers that there are; `None` if none of the stream's tracks can be packaged.
    pub fn new(ll_hls: Option<Packager>, hls: Option<TsPackager>) -> Option<Outputs> {
        (ll_hls.is_some() || hls.is_some()).then(|| Outputs { ll_hls, hls, tags: Tags::default() })
    }

    /// Takes the next packet. Those of one track come in decoding order; late ones are dropped.
    pub fn push(&mut self, packet: &Packet) {
        self.ll_hls.iter_mut().for_each(|it| it.push(packet));
        self.hls.iter_mut().for_each(|it| it.push(packet));
    }

    /// Takes a new description of the stream. If a track's format changed, the playlists get a discontinuity.
    pub fn update(&mut self, info: &StreamInfo) {
        self.ll_hls.iter_mut().for_each(|it| it.update(info));
        self.hls.iter_mut().for_each(|it| it.update(info));
    }

    /// The next thing to know.
    pub fn poll(&mut self) -> Option<PackagerEvent> {
        let first = self.ll_hls.as_mut().and_then(Packager::poll);
        first.or_else(|| self.hls.as_mut()?.poll())
    }

    /// What to say to a request. `gzip` is whether the asker takes playlists that are compressed.
    pub fn answer(&mut self, wanted: &Wanted, gzip: bool) -> Answer {
        let answer = match wanted {
            Wanted::Hls(request) => self.hls.as_mut().map(|it| it.answer(request, gzip)),
            Wanted::LlHls(request) => self.ll_hls.as_mut().map(|it| it.answer(request, gzip)),
        };
        match answer.unwrap_or_else(not_found) {
            Answer::Now(reply) if reply.tag.is_none() && reply.status.is_success() => {
                let tag = Some(self.tags.of(wanted, &reply.body));
                Answer::Now(Response { tag, ..reply })
            }
            other => other,
        }
    }

    /// Where the numbers of a stream begin that comes after this one under the same name; `None` if this one has used
    /// none.
    pub fn next_numbers(&self) -> Option<FirstNumbers> {
        let ll_hls = self.ll_hls.as_ref().and_then(Packager::next_numbers);
        let hls = self.hls.as_ref().and_then(TsPackager::next_numbers);
        (ll_hls.is_some() || hls.is_some())
            .then(|| FirstNumbers { ll_hls: ll_hls.unwrap_or_default(), hls: hls.unwrap_or_default() })
    }

    /// Whether every server of the same media makes the same segments under the same numbers.
    pub fn is_interchangeable(&self) -> bool {
        self.ll_hls.as_ref().is_none_or(Packager::is_interchangeable)
            && self.hls.as_ref().is_none_or(TsPackager::is_interchangeable)
    }

    /// Adds what they hold to `census`.
    pub fn count(&self, census: &mut Census) {
        self.ll_hls.iter().for_each(|it| it.count(census));
        self.hls.iter().for_each(|it| it.count(census));
    }
}
