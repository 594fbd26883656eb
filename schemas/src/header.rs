//! Names of headers that writers and readers of the input topics share.

/// Whose.
pub const TENANT: &str = "tenant";
/// What the events come from: with the tenant and their content it names them.
pub const SOURCE: &str = "source";
/// How to read the value.
pub const FORMAT: &str = "format";
/// The time of reading, for people.
pub const RECEIVED: &str = "received";
/// Where the value comes from: `logs.zip!day1/a.json`.
pub const FILE: &str = "file";
/// The line of the file that the records begin on, from 1.
pub const LINE: &str = "line";
/// How many bytes of the value say how the records after them are to be read: the header of a CSV file.
pub const PRELUDE: &str = "prelude";
/// A record that was refused before it reached the topic: the reason. The value is its beginning.
pub const REFUSED: &str = "refused";
/// Why it was refused, for people.
pub const MESSAGE: &str = "message";
