//! Every kernel against its CPU twin, element by element, with and without naga's runtime checks,
//! and in the languages of every graphics API.

mod common;

mod kernels {
    mod adamw;
    mod batch;
    mod conv;
    mod dual;
    mod elementwise;
    mod example_weights;
    mod import;
    mod loss;
    mod matmul;
    mod norm;
    mod pool;
    mod portability;
    mod reduce;
    mod rng;
    mod sample;
    mod sgd;
    mod translation;
}
