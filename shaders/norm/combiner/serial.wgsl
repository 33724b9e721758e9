// One invocation combines all parts that share a statistic.
const PARTS_STEP: u32 = 1u;

fn combined_statistic(workgroup: Workgroup, local: u32) -> u32 {
    return index_of(workgroup) * WORKGROUP + local;
}

fn first_part(local: u32) -> u32 {
    return 0u;
}

fn total(local: u32, part: vec2<f32>) -> vec2<f32> {
    return part;
}
