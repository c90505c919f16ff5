plugins {
    kotlin("jvm")
}

kotlin {
    jvmToolchain(17)
    compilerOptions {
        jvmTarget.set(org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_1_8)
    }
}

java {
    targetCompatibility = JavaVersion.VERSION_1_8
}

dependencies {
    // The API of onnxruntime-android; whoever uses core brings the engine of their platform.
    compileOnly("com.microsoft.onnxruntime:onnxruntime:1.22.0")
    testImplementation("com.microsoft.onnxruntime:onnxruntime:1.22.0")
    testImplementation("junit:junit:4.13.2")
    // Reads the golden vectors, so that they do not come through the reader under test.
    testImplementation("org.jetbrains.kotlinx:kotlinx-serialization-json:1.9.0")
}

tasks.test {
    systemProperty("lira.bundle", rootDir.resolve("../build/nano-onnx").path)
    systemProperty("lira.golden", rootDir.resolve("../tests/golden").path)
}
