//! Every kernel against its CPU twin, element by element, with and without naga's runtime checks.

mod adamw;
mod batch;
mod conv;
#[path = "../common/device.rs"]
mod device;
mod dual;
mod elementwise;
mod import;
mod loss;
mod matmul;
mod norm;
mod pool;
mod reduce;
mod sample;
mod sgd;
#[path = "../common/table.rs"]
mod table;
#[path = "../common/values.rs"]
mod values;
mod weights;
