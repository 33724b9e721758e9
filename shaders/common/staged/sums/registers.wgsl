// Sums of staged products in registers: 16 × 16 invocations, each with squares of its own.
//
// Workgroup memory holds a quad, four neighbouring rows of the left factor or columns of the right
// one, for each term.

// The first member has a name that nothing else has: tests/kernels/portability/metal.rs says why.
struct Invocation {
    @builtin(local_invocation_index) local_index: u32,
}

const RIGHT_BASE: i32 = STEP * LEFT;

alias Sums = Tile;

var<workgroup> staged: array<vec4<Element>, 256u * (TALL + WIDE)>;

fn stage_row(p: Part, i: i32, quad: Quad) {
    let term = 4 * p.term + i;
    // Scattered by term, so that neighbours that load along the terms write to different banks.
    let at = p.quad ^ (2 * p.term);
    if p.is_left {
        staged[term * LEFT + at] = vec4<Element>(quad);
    } else if p.is_right {
        staged[RIGHT_BASE + term * RIGHT + at] = vec4<Element>(quad);
    }
}

// Where the quads of the terms 4·term .. that an invocation multiplies begin. The scattering stays
// within eight quads, so that the next terms and the second quad lie at constant distances.
fn left_slot(local: u32, term: i32) -> i32 {
    return 4 * term * LEFT + (i32(local / 16u) ^ (2 * term));
}

fn right_slot(local: u32, term: i32) -> i32 {
    return RIGHT_BASE + 4 * term * RIGHT + (i32(local % 16u) ^ (2 * term));
}

fn add_outer(sums: ptr<function, Sums>, i: u32, rows: Quad, columns: Quad) {
    (*sums)[i][0] += rows.x * columns;
    (*sums)[i][1] += rows.y * columns;
    (*sums)[i][2] += rows.z * columns;
    (*sums)[i][3] += rows.w * columns;
}

fn add_term(sums: ptr<function, Sums>, left: i32, right: i32) {
    let rows = Quad(staged[left]);
    let columns = Quad(staged[right]);
    add_outer(sums, 0u, rows, columns);
    if TALL > 1u { add_outer(sums, TALL - 1u, Quad(staged[left + 16]), columns); }
    if WIDE > 1u {
        let more_columns = Quad(staged[right + 16]);
        add_outer(sums, TALL * (WIDE - 1u), rows, more_columns);
        if TALL > 1u { add_outer(sums, TALL * WIDE - 1u, Quad(staged[left + 16]), more_columns); }
    }
}

// Adds what the staged terms give. Written out, since drivers need not unroll naga's loops.
fn multiply(sums: ptr<function, Sums>, me: Invocation) {
    for (var term = 0; term < STEP / 4; term++) {
        let left = left_slot(me.local_index, term);
        let right = right_slot(me.local_index, term);
        add_term(sums, left, right);
        add_term(sums, left + LEFT, right + RIGHT);
        add_term(sums, left + 2 * LEFT, right + 2 * RIGHT);
        add_term(sums, left + 3 * LEFT, right + 3 * RIGHT);
    }
}

fn add_dual_term(sums: ptr<function, Sums>, left: i32, right: i32) {
    let rows = Quad(staged[left]);
    let columns = Quad(staged[right]);
    add_outer(sums, 0u, rows, columns);
    add_outer(sums, TALL - 1u, Quad(staged[left + 16]), columns);
    add_outer(sums, TALL - 1u, rows, Quad(staged[right + 16]));
}

// The same for TALL = WIDE = 2, where the first 64 rows and columns are values and the others their
// tangents: values into the first square, tangents into the second one.
fn multiply_dual(sums: ptr<function, Sums>, me: Invocation) {
    for (var term = 0; term < STEP / 4; term++) {
        let left = left_slot(me.local_index, term);
        let right = right_slot(me.local_index, term);
        add_dual_term(sums, left, right);
        add_dual_term(sums, left + LEFT, right + RIGHT);
        add_dual_term(sums, left + 2 * LEFT, right + 2 * RIGHT);
        add_dual_term(sums, left + 3 * LEFT, right + 3 * RIGHT);
    }
}

// The sums as results.
fn tile_of(sums: ptr<function, Sums>, me: Invocation) -> Tile {
    return *sums;
}
