package lira.app

import android.app.Activity
import android.content.ContentProvider
import android.content.ContentValues
import android.content.Intent
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import android.view.View
import java.io.File
import java.util.concurrent.CountDownLatch
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf

class ImportTest : WithPhone() {
    /** Another bundle, whose decoder is given only when the test says so. */
    private fun slow(go: CountDownLatch, reached: CountDownLatch = CountDownLatch(1)): Source {
        val files = sourceOf(other(File(phone.app.cacheDir, "slow"))).files.toMutableMap()
        val decoder = files.getValue("decoder.onnx")
        files["decoder.onnx"] = {
            reached.countDown()
            go.await()
            decoder()
        }
        return Source(files)
    }

    @Test
    fun `a damaged bundle is refused in one sentence and the old one still draws`() {
        phone.open()
        val damaged = sourceOf(demoBundle()).files.toMutableMap()
        damaged["decoder.onnx"] = { "x".byteInputStream() }
        phone.app.importer.begin { Source(damaged) }
        assertTrue(phone.isVisible(R.id.progress))
        waitUntil("the import ended") { phone.isVisible(R.id.error) }
        assertEquals("code: wrong_size", phone.text(R.id.code))
        assertEquals("Choose another model", phone.text(R.id.remedy))
        assertTrue(phone.text(R.id.bundle).startsWith("nano"))
        phone.drawn()
    }

    @Test
    fun `the first bundle is taken and then it can be drawn with`() {
        phone.app.store.folder.deleteRecursively()
        phone.open()
        phone.app.importer.begin { sourceOf(demoBundle()) }
        waitUntil("the import ended") { phone.app.importer.state == null }
        assertTrue(phone.text(R.id.bundle).startsWith("nano"))
        assertTrue(phone.view<View>(R.id.draw).isEnabled && phone.isVisible(R.id.draw))
    }

    @Test
    fun `a cancelled import is no error and leaves what was there`() {
        phone.open()
        val go = CountDownLatch(1)
        phone.app.importer.begin { slow(go) }
        phone.settle()
        assertTrue(phone.isVisible(R.id.cancel) && !phone.view<View>(R.id.choose).isEnabled)
        phone.click(R.id.cancel)
        go.countDown()
        waitUntil("the import ended") { phone.app.importer.state == null }
        assertFalse(phone.isVisible(R.id.error))
        assertTrue(phone.isVisible(R.id.draw) && phone.text(R.id.bundle).startsWith("nano"))
        assertFalse(phone.app.filesDir.resolve("bundle.part").exists())
    }

    @Test
    fun `a picked folder is taken with the folders in it and its signature`() {
        val tree = other(File(phone.app.cacheDir, "tree"))
        tree.resolve("manifest.json.sig").writeText("s")
        Robolectric.setupContentProvider(Documents::class.java, Documents.AUTHORITY).root = tree
        phone.open()
        phone.click(R.id.choose)
        val asked = shadowOf(phone.activity).nextStartedActivity
        val picked = Intent().setData(DocumentsContract.buildTreeDocumentUri(Documents.AUTHORITY, "."))
        shadowOf(phone.activity).receiveResult(asked, Activity.RESULT_OK, picked)
        waitUntil("the import ended") { phone.app.importer.state == null }
        assertEquals("", phone.text(R.id.sentence))
        assertArrayEquals(tree.resolve(DEEP).readBytes(), phone.app.store.folder.resolve(DEEP).readBytes())
        assertTrue(phone.text(R.id.bundle).startsWith("toy"))
    }

    @Test
    fun `a rotation in the middle of an import does not disturb it`() {
        val reached = CountDownLatch(1)
        val go = CountDownLatch(1)
        phone.open()
        phone.app.importer.begin { slow(go, reached) }
        reached.await()
        phone.controller.recreate()
        go.countDown()
        waitUntil("the import ended") { phone.app.importer.state == null }
        assertFalse(phone.text(R.id.code), phone.isVisible(R.id.error))
        assertTrue(phone.text(R.id.bundle), phone.text(R.id.bundle).startsWith("toy"))
    }

    @Test
    fun `a swap that the last process did not end is ended when the app starts`() {
        phone.app.store.folder.renameTo(phone.app.filesDir.resolve("bundle.old"))
        phone.app.onCreate()
        assertNotNull(phone.app.store.open())
    }

    @Test
    fun `an import that takes too much memory or goes round in circles is one sentence`() {
        phone.open()
        for ((error, code) in listOf(OutOfMemoryError() to "out_of_memory", StackOverflowError() to "internal")) {
            phone.app.importer.begin { throw error }
            waitUntil("the import ended") { phone.text(R.id.code) == "code: $code" }
        }
    }

    @Test
    fun `a device without an app to choose folders with says so`() {
        phone.open()
        shadowOf(phone.app).checkActivities(true)
        phone.click(R.id.choose)
        assertTrue(phone.text(R.id.sentence), phone.text(R.id.sentence).startsWith("This device has no app to choose a folder"))
        assertFalse(phone.isVisible(R.id.remedy))
    }

    /** The demo bundle under another name, with a file in folders of its own. */
    private fun other(folder: File): File {
        demoBundle().copyRecursively(folder)
        val manifest = changedManifest(folder) {
            it.put("preset", "toy").getJSONObject("empty_prompt").put("path", DEEP)
        }
        folder.resolve("manifest.json").writeText(manifest)
        folder.resolve(DEEP).parentFile!!.mkdirs()
        assertTrue(folder.resolve("empty_prompt.f32").renameTo(folder.resolve(DEEP)))
        return folder
    }

    private companion object {
        const val DEEP = "texts/of/nothing.f32"
    }
}

/** A folder of this machine as the system's picker hands one over; ids are paths within it. */
class Documents : ContentProvider() {
    lateinit var root: File

    override fun onCreate() = true

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        selectionArgs: Array<String>?,
        sortOrder: String?,
    ): Cursor {
        val parent = DocumentsContract.getDocumentId(uri)
        val rows = MatrixCursor(arrayOf(Document.COLUMN_DOCUMENT_ID, Document.COLUMN_DISPLAY_NAME, Document.COLUMN_MIME_TYPE))
        for (file in root.resolve(parent).listFiles()!!) {
            rows.addRow(arrayOf("$parent/${file.name}", file.name, if (file.isDirectory) Document.MIME_TYPE_DIR else "file"))
        }
        return rows
    }

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor =
        ParcelFileDescriptor.open(root.resolve(DocumentsContract.getDocumentId(uri)), ParcelFileDescriptor.parseMode(mode))

    override fun getType(uri: Uri): String? = null

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, selection: String?, selectionArgs: Array<String>?): Int = 0

    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<String>?): Int = 0

    companion object {
        const val AUTHORITY = "lira.test.documents"
    }
}
