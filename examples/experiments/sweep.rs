//! Method after method, each of which leaves its results behind.

use anyhow::{Error, Result};
use l2rw::report::{MethodResult, results};
use l2rw::train::Recipe;

use super::common::{Devices, RunFolder, Stop};
use super::experiment::Experiment;
use super::output;
use super::run::{PLAIN, Run, Task};
use super::running::Plain;

/// All methods of a run.
pub struct Sweep<'a> {
    experiment: &'a Experiment,
    devices: &'a Devices,
    folder: RunFolder,
    /// Names of the methods.
    methods: Vec<String>,
    stop: &'a Stop,
    /// Steps from one checkpoint to the next.
    every: u64,
    /// Results of the run that goes on: the folder of a new one has none.
    earlier: Vec<MethodResult>,
    runs: Vec<Run>,
    plain: Option<Plain>,
}

impl<'a> Sweep<'a> {
    /// Nothing trained yet but what `folder` holds.
    pub fn new(
        experiment: &'a Experiment,
        devices: &'a Devices,
        (folder, methods): (RunFolder, Vec<String>),
        stop: &'a Stop,
        every: u64,
    ) -> Result<Self> {
        let file = folder.path().join(results::FILE_NAME);
        let earlier = stop.team().on_first(|| match file.exists() {
            true => Ok(results::read(&file)?.methods),
            false => Ok(Vec::new()),
        })?;
        let (runs, plain) = (Vec::new(), None);
        Ok(Self { experiment, devices, folder, methods, stop, every, earlier, runs, plain })
    }

    /// Trains what is not trained yet and writes results after each method, pictures at the end.
    /// Whether everything is done.
    pub fn run(mut self) -> Result<bool> {
        let trained = self.train_all();
        if self.runs.is_empty() && self.earlier.is_empty() {
            return trained;
        }
        // A rank that fails alone finds the others elsewhere.
        if trained.is_err() && self.stop.team().ranks().is_some() {
            return trained;
        }
        // Also where a method failed: what the others took hours for is still wanted.
        let written = self.results(None).and_then(|methods| {
            let draw = || output::draw(self.experiment, &methods, &self.runs, self.folder.path());
            self.stop.team().on_first(draw)?;
            Ok(methods)
        });
        let (done, methods) = (trained?, written?);
        output::print(self.experiment, &self.devices.context(), methods, self.folder.path())?;
        if done {
            self.folder.finished()?;
        }
        Ok(done)
    }

    fn train_all(&mut self) -> Result<bool> {
        for name in self.methods.clone() {
            let recipe: Recipe = name.parse().map_err(Error::msg)?;
            if ["s-model-conf", "mentornet-dd"].contains(&recipe.method.as_str())
                && self.plain.is_none()
                && !self.is_done(&name)?
            {
                println!("{recipe} starts from a plain run: training that first");
                let baseline = "baseline".parse().map_err(Error::msg)?;
                match self.train(PLAIN, &baseline)? {
                    Some(run) if !run.result.interrupted => self.plain = run.plain,
                    _ => return Ok(false),
                }
            }
            if self.is_done(&name)? {
                println!("{name} is done: its result is taken from results.json");
                continue;
            }
            let Some(run) = self.train(&name, &recipe)? else { return Ok(false) };
            self.plain = self.plain.take().or_else(|| run.plain.clone());
            let done = !run.result.interrupted;
            self.runs.push(run);
            if !done {
                self.results(None)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a method has a result, and no checkpoint any more from which to take the rest.
    fn is_done(&self, name: &str) -> Result<bool> {
        let result = self.earlier.iter().find(|result| result.name == name);
        let is_whole = result.is_some_and(|result| !result.interrupted);
        self.stop.team().on_first(|| Ok(is_whole && !self.folder.series(name).exists()))
    }

    /// Trains a method, or what is left of it; `None` where a stop was requested before it began.
    fn train(&self, name: &str, recipe: &Recipe) -> Result<Option<Run>> {
        self.devices.with(|context| {
            let task = Task {
                experiment: self.experiment,
                context,
                folder: &self.folder,
                stop: self.stop,
                every: self.every,
                name,
                recipe,
                plain: self.plain.as_ref(),
            };
            task.run(|run| match name {
                PLAIN => Ok(()),
                _ => self.results(Some(run)).map(drop),
            })
        })
    }

    /// Writes results.json: what is trained, in the order of the methods. Small files come before
    /// large ones: a full disk costs the latter only.
    fn results(&self, last: Option<&Run>) -> Result<Vec<MethodResult>> {
        let now = || self.runs.iter().chain(last).map(|run| &run.result);
        let of = |name: &String| {
            let earlier = || self.earlier.iter().find(|result| result.name == *name);
            now().find(|result| result.name == *name).or_else(earlier)
        };
        let methods: Vec<_> = self.methods.iter().filter_map(of).cloned().collect();
        let all = output::results(self.experiment, &self.devices.context(), methods.clone())?;
        if self.stop.team().is_first() {
            results::write(&all, self.folder.path())?;
        }
        Ok(methods)
    }
}
