//! Tokens to the tree: recursive descent, bounded in depth.
use super::PatternError;
use super::ast::{Comparison, Literal, Observation, Operator, Path, Qualifier, Step, Test};
use super::lexer::{Spanned, Token, tokens};
use crate::limits::Limits;

/// Words that are no object types or properties.
const KEYWORDS: &[&str] = &[
    "AND",
    "OR",
    "NOT",
    "FOLLOWEDBY",
    "LIKE",
    "MATCHES",
    "ISSUPERSET",
    "ISSUBSET",
    "EXISTS",
    "IN",
    "START",
    "STOP",
    "SECONDS",
    "WITHIN",
    "REPEATS",
    "TIMES",
    "true",
    "false",
];

/// Parses a pattern.
///
/// # Errors
/// [`PatternError`] with the place and what was expected.
pub fn parse(text: &str, limits: &Limits) -> Result<Observation, PatternError> {
    if text.len() > limits.pattern_bytes {
        return Err(PatternError::new(0, format!("longer than limits.pattern_bytes ({})", limits.pattern_bytes)));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, deepest: limits.pattern_depth, end: text.len() };
    let pattern = parser.observations()?;
    match parser.tokens.get(parser.at) {
        None => Ok(pattern),
        Some((at, _)) => Err(PatternError::new(*at, "expected the end of the pattern")),
    }
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    depth: usize,
    deepest: usize,
    end: usize,
}

impl Parser {
    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(at, _)| *at)
    }

    fn failed<T>(&self, expected: &str) -> Result<T, PatternError> {
        Err(PatternError::new(self.place(), format!("expected {expected}")))
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.at += usize::from(found);
        found
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), PatternError> {
        if self.take_sign(sign) { Ok(()) } else { self.failed(&format!("`{sign}`")) }
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, PatternError>) -> Result<T, PatternError> {
        self.depth += 1;
        if self.depth > self.deepest {
            return Err(PatternError::new(self.place(), format!("nested deeper than limits.pattern_depth ({})", self.deepest)));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// `part ( word part )*`
    fn chain<T>(
        &mut self,
        word: &str,
        part: impl Fn(&mut Self) -> Result<T, PatternError>,
        join: fn(Vec<T>) -> T,
    ) -> Result<T, PatternError> {
        let first = part(self)?;
        if !self.take_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first, part(self)?];
        while self.take_word(word) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    // observations := or ( FOLLOWEDBY or )*;  or := and ( OR and )*;  and := observation ( AND observation )*
    fn observations(&mut self) -> Result<Observation, PatternError> {
        self.chain("FOLLOWEDBY", Self::observation_or, Observation::FollowedBy)
    }

    fn observation_or(&mut self) -> Result<Observation, PatternError> {
        self.chain("OR", Self::observation_and, Observation::Or)
    }

    fn observation_and(&mut self) -> Result<Observation, PatternError> {
        self.chain("AND", Self::observation, Observation::And)
    }

    fn observation(&mut self) -> Result<Observation, PatternError> {
        let mut observation = if self.take_sign("[") {
            let comparison = self.comparison()?;
            self.expect_sign("]")?;
            Observation::Test(comparison)
        } else if self.take_sign("(") {
            let inner = self.nested(Self::observations)?;
            self.expect_sign(")")?;
            inner
        } else {
            return self.failed("`[` or `(`");
        };
        // Each sort of qualifier once: two of one would contradict each other, or say nothing.
        let mut seen = Vec::with_capacity(3);
        loop {
            let place = self.place();
            let Some(qualifier) = self.qualifier()? else { return Ok(observation) };
            let sort = std::mem::discriminant(&qualifier);
            if seen.contains(&sort) {
                return Err(PatternError::new(place, "a second qualifier of the same sort"));
            }
            seen.push(sort);
            observation = Observation::Qualified(Box::new(observation), qualifier);
        }
    }

    fn qualifier(&mut self) -> Result<Option<Qualifier>, PatternError> {
        if self.take_word("WITHIN") {
            let seconds = match self.literal()? {
                Literal::Integer(seconds) if seconds >= 0 => seconds as f64,
                Literal::Float(seconds) if seconds >= 0.0 => seconds,
                _ => return self.failed("a number of seconds"),
            };
            return if self.take_word("SECONDS") { Ok(Some(Qualifier::Within(seconds))) } else { self.failed("SECONDS") };
        }
        if self.take_word("REPEATS") {
            let times = match self.literal()? {
                Literal::Integer(times) if times > 0 => times as u64,
                _ => return self.failed("a positive number"),
            };
            return if self.take_word("TIMES") { Ok(Some(Qualifier::Repeats(times))) } else { self.failed("TIMES") };
        }
        if self.take_word("START") {
            let start = self.boundary()?;
            if !self.take_word("STOP") {
                return self.failed("STOP");
            }
            return Ok(Some(Qualifier::StartStop(start, self.boundary()?)));
        }
        Ok(None)
    }

    /// STIX 2.1 writes `t'…'`, 2.0 a plain text.
    fn boundary(&mut self) -> Result<String, PatternError> {
        match self.literal()? {
            Literal::Timestamp(at) | Literal::Text(at) => Ok(at),
            _ => self.failed("a timestamp"),
        }
    }

    fn comparison(&mut self) -> Result<Comparison, PatternError> {
        self.chain("OR", Self::comparison_and, Comparison::Or)
    }

    fn comparison_and(&mut self) -> Result<Comparison, PatternError> {
        self.chain("AND", Self::test, Comparison::And)
    }

    fn test(&mut self) -> Result<Comparison, PatternError> {
        if self.take_sign("(") {
            let inner = self.nested(Self::comparison)?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let not_exists = matches!(self.tokens.get(self.at..self.at + 2), Some([(_, Token::Word(not)), (_, Token::Word(exists))]) if not == "NOT" && exists == "EXISTS");
        self.at += usize::from(not_exists);
        if self.take_word("EXISTS") {
            return Ok(Comparison::Exists { path: self.path()?, negated: not_exists });
        }
        let path = self.path()?;
        let negated = self.take_word("NOT");
        let operator = self.operator()?;
        let literals = if operator == Operator::In { self.set()? } else { vec![self.literal()?] };
        let fits = match (operator, &literals[..]) {
            (Operator::Like | Operator::Matches | Operator::IsSubset | Operator::IsSuperset, [literal]) => {
                matches!(literal, Literal::Text(_))
            }
            (Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual, [literal]) => {
                !matches!(literal, Literal::Boolean(_))
            }
            _ => true,
        };
        if !fits {
            self.at -= 1;
            return self.failed("a literal that the operator can compare");
        }
        Ok(Comparison::Test(Test { path, negated, operator, literals }))
    }

    fn operator(&mut self) -> Result<Operator, PatternError> {
        let operator = match self.peek() {
            Some(Token::Sign("=" | "==")) => Operator::Equal,
            Some(Token::Sign("!=" | "<>")) => Operator::NotEqual,
            Some(Token::Sign("<")) => Operator::Less,
            Some(Token::Sign("<=")) => Operator::LessOrEqual,
            Some(Token::Sign(">")) => Operator::Greater,
            Some(Token::Sign(">=")) => Operator::GreaterOrEqual,
            Some(Token::Word(word)) => match word.as_str() {
                "IN" => Operator::In,
                "LIKE" => Operator::Like,
                "MATCHES" => Operator::Matches,
                "ISSUBSET" => Operator::IsSubset,
                "ISSUPERSET" => Operator::IsSuperset,
                _ => return self.failed("a comparison operator"),
            },
            _ => return self.failed("a comparison operator"),
        };
        self.at += 1;
        Ok(operator)
    }

    fn set(&mut self) -> Result<Vec<Literal>, PatternError> {
        self.expect_sign("(")?;
        let mut literals = Vec::new();
        if self.take_sign(")") {
            return Ok(literals);
        }
        loop {
            literals.push(self.literal()?);
            if self.take_sign(")") {
                return Ok(literals);
            }
            self.expect_sign(",")?;
        }
    }

    fn literal(&mut self) -> Result<Literal, PatternError> {
        let literal = match self.peek() {
            Some(Token::Literal(literal)) => literal.clone(),
            Some(Token::Word(word)) if word == "true" || word == "false" => Literal::Boolean(word == "true"),
            _ => return self.failed("a literal; texts need quotes"),
        };
        self.at += 1;
        Ok(literal)
    }

    fn path(&mut self) -> Result<Path, PatternError> {
        let object = match self.peek() {
            Some(Token::Word(word)) if !KEYWORDS.contains(&word.as_str()) => word.clone(),
            _ => return self.failed("an object path (type:property)"),
        };
        self.at += 1;
        self.expect_sign(":")?;
        let mut steps = vec![self.property()?];
        loop {
            if self.take_sign(".") {
                steps.push(self.property()?);
            } else if self.take_sign("[") {
                steps.push(self.index()?);
                self.expect_sign("]")?;
            } else {
                return Ok(Path { object, steps });
            }
        }
    }

    fn property(&mut self) -> Result<Step, PatternError> {
        let name = match self.peek() {
            // An unquoted property holds no hyphen.
            Some(Token::Word(word)) if !word.contains('-') => word.clone(),
            Some(Token::Literal(Literal::Text(name))) => name.clone(),
            _ => return self.failed("a property; one with a hyphen needs quotes"),
        };
        self.at += 1;
        Ok(Step::Property(name))
    }

    fn index(&mut self) -> Result<Step, PatternError> {
        if self.take_sign("*") {
            return Ok(Step::Any);
        }
        match self.literal()? {
            Literal::Integer(index) if index >= 0 => Ok(Step::Index(index as u64)),
            _ => {
                self.at -= 1;
                self.failed("an index or `*`")
            }
        }
    }
}
