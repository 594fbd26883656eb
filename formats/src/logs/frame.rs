//! Cuts a stream of one format into pieces of whole records.
use std::ops::Range;

use crate::event::fields::Refused;

/// What a cutter says of the text that was read and not yet used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Whole records; the text before `used` is done with.
    Piece {
        /// The records.
        body: Range<usize>,
        /// How far the text is used, at least to the end of the body.
        used: usize,
    },
    /// The first bytes hold no records: blanks, brackets, a header that was kept as prelude.
    Skip(usize),
    /// The first bytes are refused.
    Refused {
        /// How many.
        used: usize,
        /// Why.
        refused: Refused,
    },
    /// More text is needed. Never said when the text is all there is.
    More,
}

/// Cuts a format's stream. One stream, one cutter.
pub(crate) trait Cut {
    /// Looks at the text that follows what was used so far; `end` says that nothing comes after it. Never asked about an empty text.
    ///
    /// A piece should have about `target` bytes; one record that is larger may exceed it, up to the bound on an event.
    fn cut(&mut self, text: &[u8], target: usize, end: bool) -> Step;

    /// What is wrong with the stream as a whole, once all of it is used: a list that does not end.
    fn at_end(&mut self) -> Option<Refused> {
        None
    }

    /// What every piece from here on is to be read with.
    fn prelude(&self) -> &[u8] {
        &[]
    }
}
