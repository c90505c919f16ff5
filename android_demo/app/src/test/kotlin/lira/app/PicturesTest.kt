package lira.app

import android.content.ContentProvider
import android.content.ContentUris
import android.content.ContentValues
import android.content.Intent
import android.database.Cursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.MediaStore
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf

class PicturesTest : WithPhone() {
    private val gallery: Gallery = Robolectric.setupContentProvider(Gallery::class.java, MediaStore.AUTHORITY)

    private fun drawing() = phone.journal.picture.readBytes()

    @Test
    fun `the picture is saved in the gallery byte for byte and seen when it is whole`() {
        phone.drawn()
        phone.click(R.id.save)
        assertTrue(phone.text(R.id.status), phone.text(R.id.status).endsWith("Saved to Pictures/LiRA."))
        val (values, file) = gallery.pictures.single()
        assertArrayEquals(drawing(), file.readBytes())
        val said = listOf("_display_name", "mime_type", "relative_path", "is_pending").map { values.getAsString(it) }
        assertEquals(listOf("lira-7.png", "image/png", "Pictures/LiRA", "0"), said)
        assertTrue(phone.isVisible(R.id.keep))
    }

    @Test
    fun `where the gallery takes nothing it says so and leaves no half of a picture`() {
        phone.drawn()
        for ((refusal, code) in listOf("closed" to "not_writable", "No space left on device" to "disk_full")) {
            gallery.refusal = refusal
            phone.click(R.id.save)
            assertEquals("code: $code", phone.text(R.id.code))
            assertEquals(0, gallery.pictures.size)
        }
        gallery.isThere = false
        phone.click(R.id.save)
        assertEquals("code: not_writable", phone.text(R.id.code))
    }

    @Test
    fun `a gallery that throws whatever it likes is one sentence`() {
        phone.drawn()
        for (error in listOf(IllegalStateException(), SecurityException(), IllegalArgumentException())) {
            gallery.error = error
            phone.click(R.id.save)
            assertEquals("The picture could not be saved; try to share it instead.", phone.text(R.id.sentence))
            assertTrue(phone.isVisible(R.id.share))
        }
    }

    @Test
    fun `the picture is shared byte for byte with leave to read it`() {
        phone.drawn()
        phone.click(R.id.share)
        val chooser = shadowOf(phone.activity).nextStartedActivity
        assertEquals(Intent.ACTION_CHOOSER, chooser.action)
        val send = chooser.getParcelableExtra(Intent.EXTRA_INTENT, Intent::class.java)!!
        assertEquals(Intent.ACTION_SEND to "image/png", send.action to send.type)
        assertTrue(send.flags and Intent.FLAG_GRANT_READ_URI_PERMISSION != 0)
        val uri = send.getParcelableExtra(Intent.EXTRA_STREAM, Uri::class.java)!!
        assertEquals(uri, send.clipData!!.getItemAt(0).uri) // what the leave to read is of
        val resolver = phone.app.contentResolver
        assertArrayEquals(drawing(), resolver.openInputStream(uri)!!.use { it.readBytes() })
        assertEquals("image/png", resolver.getType(uri))
        resolver.query(uri, null, null, null, null)!!.use {
            assertTrue(it.moveToFirst())
            assertEquals(drawing().size.toLong(), it.getLong(it.getColumnIndexOrThrow(OpenableColumns.SIZE)))
        }
    }

    @Test
    fun `nothing else is shared and nothing is written to`() {
        phone.drawn()
        val resolver = phone.app.contentResolver
        val other = Uri.parse("content://lira.app.pictures/../drawing.properties")
        assertTrue(runCatching { resolver.openInputStream(other) }.isFailure)
        assertNull(resolver.query(other, null, null, null, null))
        assertTrue(runCatching { resolver.openFileDescriptor(PictureProvider.URI, "rw") }.isFailure)
        assertEquals(0, resolver.delete(PictureProvider.URI, null, null))
        assertTrue(phone.journal.picture.exists())
    }
}

/** The system's pictures, as far as the app sees of them. */
class Gallery : ContentProvider() {
    private val rows = LinkedHashMap<Uri, Pair<ContentValues, File>>()
    val pictures get() = rows.values.toList()

    /** What every attempt to write fails with. */
    var refusal: String? = null
    var isThere = true

    /** What it throws at whoever asks. */
    var error: RuntimeException? = null

    override fun onCreate() = true

    override fun insert(uri: Uri, values: ContentValues?): Uri? {
        error?.let { throw it }
        if (!isThere) return null
        val place = ContentUris.withAppendedId(uri, rows.size + 1L)
        rows[place] = ContentValues(values) to File.createTempFile("gallery", ".png").also(File::deleteOnExit)
        return place
    }

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        refusal?.let { throw FileNotFoundException(it) }
        return ParcelFileDescriptor.open(rows.getValue(uri).second, ParcelFileDescriptor.parseMode(mode))
    }

    override fun update(uri: Uri, values: ContentValues?, selection: String?, selectionArgs: Array<String>?): Int {
        rows.getValue(uri).first.putAll(values)
        return 1
    }

    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<String>?): Int = if (rows.remove(uri) == null) 0 else 1

    override fun getType(uri: Uri): String? = null

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        selectionArgs: Array<String>?,
        sortOrder: String?,
    ): Cursor? = null
}
