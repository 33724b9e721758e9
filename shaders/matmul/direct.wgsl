// Matrix products c [ROWS, COLUMNS·LANES] of row-major factors, either of which may be transposed.
//
// One invocation computes a tile: TILE neighbouring rows by WIDE blocks of LANES columns. Block and
// the functions on it are in shaders/matmul/block.

override ROWS: i32;
// Terms of each sum: in blocks of LANES for nn and nt, one by one for tn.
override DEPTH: i32;
// In blocks of LANES.
override COLUMNS: i32;
// Whether tiles fill the rows exactly.
override EXACT: bool;

const W: i32 = i32(LANES);

// From the header: TILE, WIDE (1 or 2; divides COLUMNS).
alias Tile = array<Lanes, TILE * WIDE>;

@group(0) @binding(0) var<storage, read> a: array<Stored>;
@group(0) @binding(1) var<storage, read> b: array<Stored>;
@group(0) @binding(2) var<storage, read_write> c: array<Stored>;

struct Place { row: i32, column: i32 }

// The tile of an invocation: columns vary fastest, so that neighbours share rows of a.
fn place(i: i32) -> Place {
    let tiles = COLUMNS / i32(WIDE);
    return Place(i / tiles * i32(TILE), i % tiles * i32(WIDE));
}

fn store(p: Place, tile: ptr<function, Tile>) {
    for (var r = 0; r < i32(TILE); r++) {
        if EXACT || p.row + r < ROWS {
            let at = (p.row + r) * COLUMNS + p.column;
            c[at] = stored((*tile)[r]);
            if WIDE > 1u { c[at + 1] = stored((*tile)[i32(TILE) + r]); }
        }
    }
}

fn load_rows(p: Place, k: i32, rows: ptr<function, array<Lanes, TILE>>) {
    for (var r = 0; r < i32(TILE); r++) {
        (*rows)[r] = Lanes();
        if EXACT || p.row + r < ROWS {
            (*rows)[r] = load(a[(p.row + r) * DEPTH + k]);
        }
    }
}

// In functions of their own, since drivers unroll a loop of this size only below a limit.
fn add_nn(
    tile: ptr<function, Tile>,
    rows: ptr<function, array<Lanes, TILE>>,
    wide: i32,
    block: Block,
) {
    for (var r = 0; r < i32(TILE); r++) {
        (*tile)[wide * i32(TILE) + r] += block * (*rows)[r];
    }
}

fn add_nt(
    tile: ptr<function, Tile>,
    rows: ptr<function, array<Lanes, TILE>>,
    wide: i32,
    block: Block,
) {
    for (var r = 0; r < i32(TILE); r++) {
        (*tile)[wide * i32(TILE) + r] += (*rows)[r] * block;
    }
}

fn add_tn(
    tile: ptr<function, Tile>,
    rows: ptr<function, array<Lanes, TILE>>,
    wide: i32,
    row: Lanes,
) {
    for (var r = 0; r < i32(TILE); r++) {
        (*tile)[wide * i32(TILE) + r] += lane((*rows)[r / W], r % W) * row;
    }
}

// c = a · b for a [ROWS, DEPTH], b [DEPTH, COLUMNS]
@compute @workgroup_size(WORKGROUP)
fn nn(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = place(i32(linear_index(id, groups)));
    if p.row >= ROWS {
        return;
    }
    var tile: Tile;
    for (var k = 0; k < DEPTH; k++) {
        var rows: array<Lanes, TILE>;
        load_rows(p, k, &rows);
        let at = k * W * COLUMNS + p.column;
        add_nn(&tile, &rows, 0, block_at(at, COLUMNS));
        if WIDE > 1u { add_nn(&tile, &rows, 1, block_at(at + 1, COLUMNS)); }
    }
    store(p, &tile);
}

// c = a · bᵀ for a [ROWS, DEPTH], b [COLUMNS, DEPTH]
@compute @workgroup_size(WORKGROUP)
fn nt(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = place(i32(linear_index(id, groups)));
    if p.row >= ROWS {
        return;
    }
    var tile: Tile;
    for (var k = 0; k < DEPTH; k++) {
        var rows: array<Lanes, TILE>;
        load_rows(p, k, &rows);
        let at = p.column * W * DEPTH + k;
        add_nt(&tile, &rows, 0, block_at(at, DEPTH));
        if WIDE > 1u { add_nt(&tile, &rows, 1, block_at(at + W * DEPTH, DEPTH)); }
    }
    store(p, &tile);
}

// c = aᵀ · b for a [DEPTH, ROWS], b [DEPTH, COLUMNS]
@compute @workgroup_size(WORKGROUP)
fn tn(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = place(i32(linear_index(id, groups)));
    if p.row >= ROWS {
        return;
    }
    var tile: Tile;
    for (var k = 0; k < DEPTH; k++) {
        var rows: array<Lanes, TILE>;
        for (var i = 0; i < i32(TILE) / W; i++) {
            if EXACT || p.row + i * W < ROWS {
                rows[i] = load(a[(k * ROWS + p.row) / W + i]);
            }
        }
        let at = k * COLUMNS + p.column;
        add_tn(&tile, &rows, 0, load(b[at]));
        if WIDE > 1u { add_tn(&tile, &rows, 1, load(b[at + 1])); }
    }
    store(p, &tile);
}
