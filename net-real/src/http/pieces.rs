//! The body of an answer, as hyper wants it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::io::Body;
use http_body::{Frame, SizeHint};

use crate::http::activity::Exchange;

/// The pieces of a body, given away one after the other.
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
    exchange: Exchange,
}

/// A longer piece is given away in slices, so that a stream whose client does not read holds little in hyper.
const SLICE_BYTES_MAX: usize = 64 << 10;

impl Pieces {
    pub(crate) fn new(body: Body, mut exchange: Exchange) -> Pieces {
        let left = u64::try_from(body.len()).unwrap_or(u64::MAX);
        exchange.answered();
        Pieces { pieces: body.0.into(), left, exchange }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.exchange.progress();
        while let Some(mut piece) = this.pieces.pop_front() {
            if piece.is_empty() {
                continue;
            }
            if piece.len() > SLICE_BYTES_MAX {
                this.pieces.push_front(piece.split_off(SLICE_BYTES_MAX));
            }
            this.left = this.left.saturating_sub(piece.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
