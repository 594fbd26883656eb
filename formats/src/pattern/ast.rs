//! The tree of a pattern. A chain of one operator is one node, so that its depth is that of the parentheses, which is bounded.

/// An observation expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Observation {
    /// `[ … ]`: one observation that meets the comparison.
    Test(Comparison),
    /// All, by different observations.
    And(Vec<Observation>),
    /// Any.
    Or(Vec<Observation>),
    /// All, none before the one in front of it.
    FollowedBy(Vec<Observation>),
    /// With a qualifier.
    Qualified(Box<Observation>, Qualifier),
}

/// A qualifier of an observation expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Qualifier {
    /// `WITHIN n SECONDS`.
    Within(f64),
    /// `REPEATS n TIMES`.
    Repeats(u64),
    /// `START t'…' STOP t'…'`, as written.
    StartStop(String, String),
}

/// A comparison expression, within one observation.
#[derive(Clone, PartialEq, Debug)]
pub enum Comparison {
    /// A property is compared.
    Test(Test),
    /// All.
    And(Vec<Comparison>),
    /// Any.
    Or(Vec<Comparison>),
    /// `EXISTS path`, or `NOT EXISTS path`.
    Exists {
        /// What.
        path: Path,
        /// Not.
        negated: bool,
    },
}

/// A property compared with literals.
#[derive(Clone, PartialEq, Debug)]
pub struct Test {
    /// What.
    pub path: Path,
    /// `NOT` before the operator.
    pub negated: bool,
    /// How.
    pub operator: Operator,
    /// One literal; any number for `IN`.
    pub literals: Vec<Literal>,
}

/// A comparison operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `=` or `==`.
    Equal,
    /// `!=` or `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `IN ( … )`.
    In,
    /// `LIKE`: `%` and `_` stand for any text and any character.
    Like,
    /// `MATCHES`: a regular expression.
    Matches,
    /// `ISSUBSET`, of networks.
    IsSubset,
    /// `ISSUPERSET`, of networks.
    IsSuperset,
}

/// An object path: `file:hashes.'SHA-256'`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// The object type before the colon.
    pub object: String,
    /// The rest.
    pub steps: Vec<Step>,
}

/// A step of an object path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A property, quoted or not.
    Property(String),
    /// `[3]`.
    Index(u64),
    /// `[*]`.
    Any,
}

/// A literal.
#[derive(Clone, PartialEq, Debug)]
pub enum Literal {
    /// `'…'`, unescaped.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with a point.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// `h'…'`, the digits.
    Hexadecimal(String),
    /// `b'…'`, the Base64 text.
    Binary(String),
    /// `t'…'`, the timestamp.
    Timestamp(String),
}
