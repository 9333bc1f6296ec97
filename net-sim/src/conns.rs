//! The connections of a world by their number. Numbers are given once, one after the other, so that a connection is
//! found by where it is and not by a search; those that are over leave from the front.

use std::collections::VecDeque;

use crate::tcp::{Conn, ConnNo};

/// Connections in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    /// The number of the first place.
    first: ConnNo,
    places: VecDeque<Option<Box<Conn>>>,
    count: usize,
}

impl Conns {
    /// Adds a connection and gives it its number.
    pub(crate) fn add(&mut self, conn: Conn) -> ConnNo {
        self.places.push_back(Some(Box::new(conn)));
        self.count += 1;
        self.first + self.places.len() as u64 - 1
    }

    pub(crate) fn remove(&mut self, no: ConnNo) {
        let Some(place) = self.place(no).and_then(|at| self.places.get_mut(at)) else { return };
        if place.take().is_some() {
            self.count -= 1;
        }
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
    }

    pub(crate) fn get(&self, no: ConnNo) -> Option<&Conn> {
        self.places.get(self.place(no)?)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, no: ConnNo) -> Option<&mut Conn> {
        let at = self.place(no)?;
        self.places.get_mut(at)?.as_deref_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnNo, &Conn)> {
        (self.first..).zip(&self.places).filter_map(|(no, place)| Some((no, place.as_deref()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn place(&self, no: ConnNo) -> Option<usize> {
        usize::try_from(no.checked_sub(self.first)?).ok()
    }
}
