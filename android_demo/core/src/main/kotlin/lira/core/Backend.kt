package lira.core

import java.io.File

/** A tensor in C order; its numbers are float32 or int32. */
sealed class Tensor {
    class Floats(val values: FloatArray) : Tensor()

    class Ints(val values: IntArray) : Tensor()
}

/** What an engine must do: load, run, unload; the same three verbs in every language. It holds at most one graph. */
interface Backend {
    /** Loads one graph of the bundle in [folder]. Throws [DamagedBundle] or [OutOfMemory]. */
    fun load(graph: Graph, folder: File)

    /** Runs the loaded graph on named inputs; returns its named outputs, in memory of their own. */
    fun run(inputs: Map<String, Tensor>): Map<String, Tensor>

    /** Drops the loaded graph and all that it holds; does nothing when none is loaded. */
    fun unload()

    /** Ends a run that is going on, from another thread; the run throws. */
    fun stop()
}
