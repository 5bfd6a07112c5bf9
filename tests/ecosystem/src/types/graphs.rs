//! Graphs and trees.

use petgraph::graphmap::UnGraphMap;

use crate::row::Trial;
use crate::same::debug;

/// petgraph does not keep the order of the two ends of an edge: it has no meaning.
fn same_edges(found: &UnGraphMap<u32, ()>, expected: &UnGraphMap<u32, ()>) -> bool {
    found.nodes().eq(expected.nodes())
        && found.edge_count() == expected.edge_count()
        && expected.all_edges().all(|(one, other, ())| found.contains_edge(one, other))
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use petgraph::graphmap::DiGraphMap;
        use petgraph::stable_graph::StableDiGraph;
        use petgraph::{Directed, Graph, Undirected};
        let directed = || {
            let mut graph = Graph::<String, f64, Directed>::new();
            let [a, b, c] = ["a", "b", ""].map(|name| graph.add_node(name.to_owned()));
            graph.add_edge(a, b, 0.5);
            graph.add_edge(c, a, 1.5);
            graph
        };
        rows! { trials, "petgraph":
            graph_string_f64: [Graph<String, f64>] debug => [directed(), Graph::new()];
            stable_di_graph_string_f64: [StableDiGraph<String, f64>] debug => [{
                let mut graph = StableDiGraph::from(directed());
                graph.remove_node(1.into());
                graph
            }, StableDiGraph::new()];
            di_graph_map_u32_f64: [DiGraphMap<u32, f64>] debug => [
                DiGraphMap::from_edges([(1, 2, 0.5), (7, 1, 1.5)]),
                DiGraphMap::new(),
            ];
            node_index: [petgraph::graph::NodeIndex] debug => [petgraph::graph::NodeIndex::new(7)];
            undirected_graph: [Graph<String, f64, Undirected>] debug => [
                directed().into_edge_type(),
                Graph::new_undirected(),
            ];
            un_graph_map_u32: [UnGraphMap<u32, ()>] same_edges => [
                UnGraphMap::from_edges([(1, 2), (7, 1)]),
            ];
        }
    }
    {
        use indextree::Arena;
        let tree = || {
            let mut arena = Arena::new();
            let [root, leaf, gone] = ["root", "leaf", "gone"].map(|name| arena.new_node(name.to_owned()));
            root.append(leaf, &mut arena);
            root.append(gone, &mut arena);
            gone.remove(&mut arena);
            arena
        };
        rows! { trials, "indextree":
            arena_string: [Arena<String>] debug => [tree(), Arena::new()];
        }
    }
    trials
}
