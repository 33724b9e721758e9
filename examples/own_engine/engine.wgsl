// A training engine in five kernels: two linear layers with a ReLU between them.

struct Layer { examples: u32, inputs: u32, outputs: u32, relu: u32, factor: f32 }

@group(0) @binding(0) var<uniform> layer: Layer;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// y[i, o] = relu?(Σ_k x[i, k] · weight[k, o] + bias[o])
@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.examples * layer.outputs {
        return;
    }
    let i = id.x / layer.outputs;
    let o = id.x % layer.outputs;
    var sum = bias[o];
    for (var k = 0u; k < layer.inputs; k++) {
        sum += x[i * layer.inputs + k] * weight[k * layer.outputs + o];
    }
    y[id.x] = select(sum, max(sum, 0.0), layer.relu == 1u);
}

@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

// gradient = factor · (softmax(x) − onehot(label)), one invocation an example
@compute @workgroup_size(64)
fn loss_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.examples {
        return;
    }
    let first = id.x * layer.outputs;
    var largest = x[first];
    for (var o = 1u; o < layer.outputs; o++) {
        largest = max(largest, x[first + o]);
    }
    var total = 0.0;
    for (var o = 0u; o < layer.outputs; o++) {
        total += exp(x[first + o] - largest);
    }
    for (var o = 0u; o < layer.outputs; o++) {
        let probability = exp(x[first + o] - largest) / total;
        gradient[first + o] = layer.factor * (probability - f32(labels[id.x] == o));
    }
}

@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

// dx[i, k] = Σ_o dy[i, o] · weight[k, o] where the ReLU before let x through
@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.examples * layer.inputs {
        return;
    }
    let i = id.x / layer.inputs;
    let k = id.x % layer.inputs;
    var sum = 0.0;
    for (var o = 0u; o < layer.outputs; o++) {
        sum += dy[i * layer.outputs + o] * weight[k * layer.outputs + o];
    }
    dx[id.x] = select(0.0, sum, x[id.x] > 0.0);
}

@group(0) @binding(2) var<storage, read> output_gradient: array<f32>;
@group(0) @binding(3) var<storage, read> example_weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> parameters: array<f32>;

// parameters[k, o] −= factor · Σ_i example_weights[i] · x[i, k] · output_gradient[i, o]
@compute @workgroup_size(64)
fn update_weight(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.inputs * layer.outputs {
        return;
    }
    let k = id.x / layer.outputs;
    let o = id.x % layer.outputs;
    var sum = 0.0;
    for (var i = 0u; i < layer.examples; i++) {
        sum += example_weights[i]
            * x[i * layer.inputs + k]
            * output_gradient[i * layer.outputs + o];
    }
    parameters[id.x] -= layer.factor * sum;
}

@group(0) @binding(1) var<storage, read> bias_gradient: array<f32>;
@group(0) @binding(2) var<storage, read> weight_of: array<f32>;
@group(0) @binding(3) var<storage, read_write> biases: array<f32>;

@compute @workgroup_size(64)
fn update_bias(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.outputs {
        return;
    }
    var sum = 0.0;
    for (var i = 0u; i < layer.examples; i++) {
        sum += weight_of[i] * bias_gradient[i * layer.outputs + id.x];
    }
    biases[id.x] -= layer.factor * sum;
}
