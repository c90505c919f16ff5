package lira.core

import ai.onnxruntime.NodeInfo
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import java.io.File
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.IntBuffer

/**
 * How a session is opened.
 *
 * threads: of one run. lowMemory: weights stay in their file, mapped, instead of being packed into memory of the process's
 * own, and no workspace is kept from run to run: less memory, more time, the same picture.
 */
class SessionSettings(val threads: Int = defaultThreads(), val lowMemory: Boolean = false) {
    private companion object {
        const val MOST_THREADS = 4

        /** Half of the processors: of a phone's the others are little, and would hold up the rest. */
        fun defaultThreads() = (Runtime.getRuntime().availableProcessors() / 2).coerceIn(1, MOST_THREADS)
    }
}

/** Runs a bundle's ONNX graphs with ONNX Runtime on the processor; the same API on Android and on the JVM. */
class OnnxBackend(private val settings: SessionSettings = SessionSettings()) : Backend {
    private val environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL, "lira")
    private var session: OrtSession? = null
    private var options: OrtSession.SessionOptions? = null
    private var inputs = emptyMap<String, Input>()

    @Volatile
    private var running: OrtSession.RunOptions? = null

    /** A tensor over memory outside of the heap, filled anew for each run: nothing is left to a later collection. */
    private class Input(val buffer: Buffer, val tensor: OnnxTensor)

    init {
        environment.setTelemetry(false)
    }

    override fun load(graph: Graph, folder: File) {
        check(session == null) { "unload the graph before loading another: one at a time is what keeps memory low" }
        val file = File(folder, graph.path)
        guarded("graph_refused", "${file.name} cannot be loaded") {
            val options = sessionOptions().also { options = it }
            // By path: the engine maps the weights; bytes would be copied, and count against the heap.
            val opened = environment.createSession(file.path, options).also { session = it }
            checkTensors(graph, graph.inputs, opened.inputInfo.values)
            checkTensors(graph, graph.outputs, opened.outputInfo.values)
            inputs = graph.inputs.associate { it.name to input(it) }
        }
    }

    override fun run(inputs: Map<String, Tensor>): Map<String, Tensor> {
        val session = checkNotNull(session) { "load a graph before running it" }
        return guarded("graph_failed", "a graph failed while it ran") {
            for ((name, value) in inputs) fill(this.inputs.getValue(name).buffer, value)
            OrtSession.RunOptions().use { runOptions ->
                running = runOptions
                try {
                    val tensors = inputs.keys.associateWith { this.inputs.getValue(it).tensor }
                    session.run(tensors, runOptions).use(::outputs)
                } finally {
                    synchronized(this) { running = null }
                }
            }
        }
    }

    override fun unload() {
        inputs.values.forEach { it.tensor.close() }
        inputs = emptyMap()
        session?.close()
        session = null
        options?.close()
        options = null
    }

    override fun stop() = synchronized(this) { running?.setTerminate(true) ?: Unit }

    private fun sessionOptions() = OrtSession.SessionOptions().apply {
        // The arena keeps the workspace from run to run; the pattern would reserve more than is alive at once.
        setCPUArenaAllocator(!settings.lowMemory)
        setMemoryPatternOptimization(false)
        setIntraOpNumThreads(settings.threads)
        setInterOpNumThreads(1)
        setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL)
        setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL)
        addConfigEntry("session.intra_op.allow_spinning", "0")
        addConfigEntry("session.disable_quant_qdq", "1") // our DequantizeLinear nodes stand behind weights alone
        if (settings.lowMemory) addConfigEntry("session.disable_prepacking", "1")
    }

    private fun checkTensors(graph: Graph, wanted: List<TensorSpec>, found: Collection<NodeInfo>) {
        val actual = found.map { node ->
            val info = node.info as? TensorInfo
            TensorSpec(node.name, info?.shape?.toList().orEmpty(), info?.type?.name.orEmpty().lowercase())
        }
        val expected = wanted.map { it.copy(dtype = if (it.dtype == "float32") "float" else it.dtype) }
        if (expected.toSet() != actual.toSet()) {
            throw DamagedBundle("graph_refused", "the tensors of ${graph.path} are not those its manifest says.")
        }
    }

    private fun input(spec: TensorSpec): Input {
        val count = spec.shape.fold(1L, Math::multiplyExact)
        val bytes = ByteBuffer.allocateDirect(Math.toIntExact(4 * count)).order(ByteOrder.nativeOrder())
        val shape = spec.shape.toLongArray()
        if (spec.dtype == "int32") {
            val buffer = bytes.asIntBuffer()
            return Input(buffer, OnnxTensor.createTensor(environment, buffer, shape))
        }
        val buffer = bytes.asFloatBuffer()
        return Input(buffer, OnnxTensor.createTensor(environment, buffer, shape))
    }

    private fun fill(buffer: Buffer, value: Tensor) {
        buffer.rewind()
        when (value) {
            is Tensor.Floats -> (buffer as FloatBuffer).put(value.values)
            is Tensor.Ints -> (buffer as IntBuffer).put(value.values)
        }
    }

    private fun outputs(result: OrtSession.Result): Map<String, Tensor> = result.associate { (name, value) ->
        val tensor = value as OnnxTensor
        val isInts = tensor.info.type.name == "INT32"
        name to if (isInts) Tensor.Ints(tensor.intBuffer.array()) else Tensor.Floats(tensor.floatBuffer.array())
    }

    private fun <T> guarded(code: String, what: String, work: () -> T): T = try {
        work()
    } catch (error: OrtException) {
        val line = error.message.orEmpty().lineSequence().first()
        if ("alloc" in line.lowercase()) throw OutOfMemory("there is not enough memory: $line", cause = error)
        throw DamagedBundle(code, "$what: $line", error)
    } catch (error: OutOfMemoryError) {
        throw OutOfMemory("there is not enough memory.", cause = error)
    }
}
