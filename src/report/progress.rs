//! Progress of long work: a bar on a terminal, a line now and then in a log.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

/// How often a log gets a line.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often a bar's text is made anew; a step can take less than a millisecond.
const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// What is worth seeing about a training step. Unmeasured numbers are NaN and are not shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepView {
    /// Mean cross-entropy of the training batch, nats.
    pub loss: f64,
    /// Accuracy on the training batch by the labels as given, 0 to 1.
    pub train_accuracy: f64,
    /// Accuracy on the clean batch, 0 to 1.
    pub clean_accuracy: f64,
    /// Training steps a second of wall-clock time.
    pub steps_per_second: f64,
    /// Share of the batch's weight on corrupted examples, 0 to 1, where corruption is known.
    pub corrupted_weight_share: Option<f64>,
}

impl StepView {
    /// The view as one short line: `loss 1.234 · train 45.6 % · clean 51.0 % · …`.
    pub fn line(&self) -> String {
        let percent = |name: &str, share: f64| {
            share.is_finite().then(|| format!("{name} {:.1} %", share * 100.0))
        };
        let parts = [
            Some(format!("loss {:.3}", self.loss)),
            percent("train", self.train_accuracy),
            percent("clean", self.clean_accuracy),
            self.corrupted_weight_share.and_then(|share| percent("weight on corrupted", share)),
            self.steps_per_second
                .is_finite()
                .then(|| format!("{:.1} steps/s", self.steps_per_second)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }
}

enum Output {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
}

/// Where progress goes, and when it last went there.
struct Reporter {
    label: String,
    output: Output,
    last: Option<Instant>,
    done: bool,
}

impl Reporter {
    fn new(label: &str, bar: impl FnOnce() -> ProgressBar) -> Self {
        let output = if io::stderr().is_terminal() {
            Output::Bar(bar())
        } else {
            Output::Lines(Box::new(io::stderr()))
        };
        Self::with_output(label, output)
    }

    fn with_output(label: &str, output: Output) -> Self {
        Self { label: label.to_owned(), output, last: None, done: false }
    }

    /// Whether it is time for another message; the first is always due.
    fn due(&self) -> bool {
        let interval = match &self.output {
            Output::Bar(_) => REDRAW_EVERY,
            Output::Lines(_) => LINE_EVERY,
        };
        self.last.is_none_or(|last| last.elapsed() >= interval)
    }

    fn report(
        &mut self,
        position: u64,
        text: &dyn Fn() -> String,
        line_head: &dyn Fn() -> String,
        now: bool,
    ) {
        if let Output::Bar(bar) = &self.output {
            bar.set_position(position);
        }
        if !now && !self.due() {
            return;
        }
        self.last = Some(Instant::now());
        match &mut self.output {
            Output::Bar(bar) => bar.set_message(text()),
            // A closed log must not end a training that took hours.
            Output::Lines(writer) => {
                let _ = writeln!(writer, "{}: {} · {}", self.label, line_head(), text());
            }
        }
    }

    fn finish(&mut self, text: &str) {
        self.done = true;
        match &mut self.output {
            Output::Bar(bar) => bar.abandon_with_message(text.to_owned()),
            Output::Lines(writer) => {
                let _ = writeln!(writer, "{}: {text}", self.label);
            }
        }
    }

    fn println(&mut self, text: &str) {
        match &mut self.output {
            Output::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            Output::Lines(writer) => {
                let _ = writeln!(writer, "{text}");
            }
        }
    }
}

impl Drop for Reporter {
    /// An error on the way out must not leave the cursor inside a half-drawn bar.
    fn drop(&mut self) {
        if let (Output::Bar(bar), false) = (&self.output, self.done) {
            bar.abandon();
        }
    }
}

/// Progress of a training run, on standard error: a bar on a terminal, else a line about every ten
/// seconds.
pub struct StepProgress {
    reporter: Reporter,
    total: u64,
    started: Instant,
    /// The first step that was reported, and when.
    first: Option<(u64, Instant)>,
    last_step: u64,
    last_line: String,
}

impl StepProgress {
    /// Starts at step 0 of `total`; `label` names the method.
    pub fn new(label: &str, total: u64) -> Self {
        let bar = || {
            let bar = ProgressBar::new(total).with_prefix(label.to_owned());
            bar.set_style(style(
                "{prefix:<12} {wide_bar} {human_pos}/{human_len} {eta:>4} left\n{msg}",
            ));
            bar
        };
        Self::with_reporter(Reporter::new(label, bar), total)
    }

    /// Writes lines to `writer`, whatever standard error is: for a log file.
    pub fn to_writer(label: &str, total: u64, writer: impl Write + Send + 'static) -> Self {
        let output = Output::Lines(Box::new(writer));
        Self::with_reporter(Reporter::with_output(label, output), total)
    }

    fn with_reporter(reporter: Reporter, total: u64) -> Self {
        Self {
            reporter,
            total,
            started: Instant::now(),
            first: None,
            last_step: 0,
            last_line: String::new(),
        }
    }

    /// Reports that `step` steps are done. Cheap enough for every step: most only move the bar.
    pub fn update(&mut self, step: u64, view: &StepView) {
        self.last_step = step;
        let (first, since) = *self.first.get_or_insert_with(|| (step, Instant::now()));
        if self.reporter.due() || step >= self.total {
            self.last_line = view.line();
        }
        let (line, total) = (&self.last_line, self.total);
        let head =
            || match time_left(since.elapsed(), step - first.min(step), total.saturating_sub(step))
            {
                Some(left) => format!("step {step} of {total} · {left} left"),
                None => format!("step {step} of {total}"),
            };
        // The last step's numbers are the ones people look for in a log.
        self.reporter.report(step, &|| line.clone(), &head, step >= total);
    }

    /// Prints `text` without tearing the bar.
    pub fn println(&mut self, text: &str) {
        self.reporter.println(text);
    }

    /// Ends the bar, leaving it and the time taken on the screen.
    pub fn finish(mut self) {
        let text = format!(
            "{} of {} steps in {} · {}",
            self.last_step,
            self.total,
            HumanDuration(self.started.elapsed()),
            self.last_line
        );
        self.reporter.finish(&text);
    }
}

/// What `left` steps take, if so many were done in this time.
fn time_left(elapsed: Duration, done: u64, left: u64) -> Option<String> {
    // From the few steps of a first line, a guess would be far off.
    let is_known = left > 0 && elapsed >= LINE_EVERY;
    let seconds = elapsed.as_secs_f64() * left as f64 / done as f64;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|_| is_known)?;
    Some(HumanDuration(duration).to_string())
}

/// Progress of a download, on standard error: a bar on a terminal, else a line every ten seconds.
pub struct DownloadProgress {
    reporter: Reporter,
    total: Option<u64>,
    bytes: u64,
}

/// Starts the progress of a download of `total` bytes (`None` where the server does not say).
pub fn download_bar(label: &str, total: Option<u64>) -> DownloadProgress {
    let bar = || {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta:>4} left {msg}",
            ),
            None => (ProgressBar::no_length(), "{prefix} {spinner} {bytes} {bytes_per_sec} {msg}"),
        };
        bar.set_style(style(template));
        bar.with_prefix(label.to_owned())
    };
    DownloadProgress { reporter: Reporter::new(label, bar), total, bytes: 0 }
}

impl DownloadProgress {
    /// Writes lines to `writer`, whatever standard error is.
    pub fn to_writer(label: &str, total: Option<u64>, writer: impl Write + Send + 'static) -> Self {
        let output = Output::Lines(Box::new(writer));
        Self { reporter: Reporter::with_output(label, output), total, bytes: 0 }
    }

    /// Reports that `bytes` bytes are there in all.
    pub fn update(&mut self, bytes: u64) {
        self.bytes = bytes;
        let total = self.total;
        let head = || match total {
            Some(total) if total > 0 => format!(
                "{} of {}, {:.0} %",
                HumanBytes(bytes),
                HumanBytes(total),
                100.0 * bytes as f64 / total as f64
            ),
            _ => HumanBytes(bytes).to_string(),
        };
        self.reporter.report(bytes, &String::new, &head, false);
    }

    /// Ends the bar.
    pub fn finish(mut self) {
        self.reporter.finish(&format!("{} downloaded", HumanBytes(self.bytes)));
    }
}

/// A typing error in a template must cost the looks, not the run.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_where_it_is_known() {
        let told = |seconds, done, left| time_left(Duration::from_secs(seconds), done, left);
        assert_eq!(told(20, 10, 60), Some("2 minutes".into()));
        assert_eq!(told(9, 10, 60), None);
        assert_eq!(told(20, 10, 0), None);
        assert_eq!(told(20, 0, 60), None);
    }
}
