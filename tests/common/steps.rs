//! Steps of a trainer with all their reports.

use l2rw::train::{StepReport, Trainer};

/// Takes the reports that are outstanding.
pub fn drain(trainer: &mut Trainer, reports: &mut Vec<StepReport>) {
    while let Some(report) = trainer.take_report(true).unwrap() {
        reports.push(report);
    }
}

/// Takes so many steps.
pub fn run(trainer: &mut Trainer, steps: usize) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for _ in 0..steps {
        reports.extend(trainer.step().unwrap());
    }
    drain(trainer, &mut reports);
    reports
}
