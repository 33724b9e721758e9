// One invocation combines all parts that share a statistic.
const PARTS_STEP: u32 = 1u;

struct Combiner { statistic: u32, first: u32, stores: bool }

fn combiner(id: vec3<u32>, groups: vec3<u32>, workgroup: vec3<u32>, local: u32) -> Combiner {
    return Combiner(linear_index(id, groups), 0u, true);
}

fn total(local: u32, part: vec2<f32>) -> vec2<f32> {
    return part;
}
