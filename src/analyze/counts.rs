//! Counters of bounded size.
use std::collections::HashMap;

/// How often each text came, of as many texts as fit. When there are too many the rarest are dropped, so that a count is what it says or a little more.
pub struct Counts {
    most: usize,
    held: HashMap<String, u64>,
    /// What was dropped came at most this often.
    dropped: u64,
    /// All that were counted.
    total: u64,
}

/// A text, and how often it came.
pub struct Counted<'c> {
    /// The text.
    pub value: &'c str,
    /// How often.
    pub count: u64,
}

impl Counts {
    /// Of `most` different texts.
    pub fn of(most: usize) -> Self {
        Self { most, held: HashMap::new(), dropped: 0, total: 0 }
    }

    /// Counts one.
    pub fn add(&mut self, value: &str) {
        self.total += 1;
        if let Some(count) = self.held.get_mut(value) {
            *count += 1;
            return;
        }
        if self.held.len() >= self.most {
            self.drop_half();
        }
        self.held.insert(value.to_owned(), self.dropped + 1);
    }

    fn drop_half(&mut self) {
        let mut counts: Vec<u64> = self.held.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        self.dropped = *median;
        let dropped = self.dropped;
        self.held.retain(|_, count| *count > dropped);
    }

    /// All that were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many different ones; none when there were more than fit.
    pub fn distinct(&self) -> Option<usize> {
        (self.dropped == 0).then_some(self.held.len())
    }

    /// The most frequent, first.
    pub fn top(&self, most: usize) -> Vec<Counted<'_>> {
        let mut all: Vec<_> = self.held.iter().map(|(value, count)| Counted { value, count: *count }).collect();
        all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then(a.value.cmp(b.value)));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_texts_stay_however_many_rare_ones_come() {
        let mut counts = Counts::of(100);
        for number in 0..10_000 {
            counts.add(&format!("rare {number}"));
            if number % 4 == 0 {
                counts.add("frequent");
            }
        }
        let top = counts.top(1);
        assert_eq!((counts.total(), counts.distinct(), top[0].value), (12_500, None, "frequent"));
        assert!((2_500..=2_600).contains(&top[0].count), "{}", top[0].count);
        assert!(counts.held.len() <= 100);
    }

    #[test]
    fn few_texts_are_counted_exactly() {
        let mut counts = Counts::of(3);
        ["b", "a", "b"].iter().for_each(|text| counts.add(text));
        let top: Vec<_> = counts.top(9).iter().map(|counted| (counted.value.to_owned(), counted.count)).collect();
        assert_eq!((top, counts.distinct()), (vec![("b".to_owned(), 2), ("a".to_owned(), 1)], Some(2)));
    }
}
