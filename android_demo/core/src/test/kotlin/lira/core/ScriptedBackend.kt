package lira.core

import java.io.File

/** A backend without an engine: it answers with zeros, writes down what is asked of it, and fails where a test says so. */
class ScriptedBackend(private val onRun: (String) -> Map<String, Tensor>? = { null }) : Backend {
    val calls = ArrayList<String>()
    private var loaded: Graph? = null

    override fun load(graph: Graph, folder: File) {
        check(loaded == null) { "two components are loaded together" }
        calls += "load ${graph.path}"
        loaded = graph
    }

    override fun run(inputs: Map<String, Tensor>): Map<String, Tensor> {
        val graph = checkNotNull(loaded)
        return onRun(graph.path) ?: graph.outputs.associate { it.name to zeros(it) }
    }

    override fun unload() {
        loaded?.let { calls += "unload ${it.path}" }
        loaded = null
    }

    override fun stop() {
        calls += "stop"
    }

    private fun zeros(spec: TensorSpec): Tensor {
        val count = Interface.count(spec.shape).toInt()
        return if (spec.dtype == "int32") Tensor.Ints(IntArray(count)) else Tensor.Floats(FloatArray(count))
    }
}
