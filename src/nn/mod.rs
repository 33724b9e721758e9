//! Networks as data: layers, shape inference, parameters, initial values, and the model zoo.

mod builder;
mod freezing;
mod init;
mod network;
mod pytorch;
mod storage;
pub mod zoo;

pub use builder::{BuildError, NetworkBuilder, Padding};
pub(crate) use freezing::parameters_of;
pub use freezing::{FixedStatistics, Frozen};
pub use init::Init;
pub use network::{
    Layer, LayerId, LayerKind, Network, Normalisation, Parameter, ParameterId, RunningStatistics,
    Shape,
};
pub(crate) use pytorch::{StateDictTensor, Vector};
