// One invocation combines all parts that share a statistic.
const PARTS_STEP: u32 = 1u;

struct Combiner { statistic: u32, first: u32, stores: bool }

fn combiner(of_grid: Invocation) -> Combiner {
    return Combiner(workgroup_index(of_grid) * WORKGROUP + of_grid.local, 0u, true);
}

fn total(local: u32, part: vec2<f32>) -> vec2<f32> {
    return part;
}
