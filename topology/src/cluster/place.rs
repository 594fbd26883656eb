//! Which workers and lanes a process runs, of all.
use std::ops::Range;

/// A process among those of its cell. Workers are counted through all processes, as timely does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// This process.
    pub process: usize,
    /// How many there are.
    pub processes: usize,
    /// Workers of each process.
    pub workers: usize,
}

impl Place {
    /// The only process of its cell.
    pub fn alone(workers: usize) -> Self {
        Self { process: 0, processes: 1, workers }
    }

    /// Whether it journals, and writes manifests.
    pub fn leads(&self) -> bool {
        self.process == 0
    }

    /// Workers of all processes.
    pub fn all(&self) -> usize {
        self.processes * self.workers
    }

    /// The workers of this process.
    pub fn own(&self) -> Range<usize> {
        let first = self.process * self.workers;
        first..first + self.workers
    }

    /// The worker that feeds a lane: lanes go to the processes in turn, and within one to its workers.
    pub fn worker_of_lane(&self, lane: u32) -> usize {
        let lane = lane as usize;
        (lane % self.processes) * self.workers + (lane / self.processes) % self.workers
    }

    /// Whether this process runs the lane.
    pub fn has_lane(&self, lane: u32) -> bool {
        self.own().contains(&self.worker_of_lane(lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_one_worker_and_the_processes_take_turns() {
        let places = [0, 1].map(|process| Place { process, processes: 2, workers: 2 });
        for lane in 0..8 {
            assert_eq!(places.iter().filter(|place| place.has_lane(lane)).count(), 1, "lane {lane}");
            assert_eq!(places[0].worker_of_lane(lane), places[1].worker_of_lane(lane));
        }
        assert_eq!([0, 1, 2, 3].map(|lane| places[0].worker_of_lane(lane)), [0, 2, 1, 3]);
        assert_eq!([0, 1, 2, 3].map(|lane| Place::alone(3).worker_of_lane(lane)), [0, 1, 2, 0]);
    }
}
