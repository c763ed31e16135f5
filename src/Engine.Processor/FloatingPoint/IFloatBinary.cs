using System.Runtime.Intrinsics;

namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>
/// A binary arithmetic operation, once on the host's own floating point and once in integers. The host's form is taken where its
/// result and the guest's flags are known to be the same.
/// </summary>
internal interface IFloatBinary
{
    /// <summary>A zero result from normal operands is exact (it never stands for an underflow).</summary>
    static abstract bool ZeroIsExact { get; }

    static abstract double Host(double a, double b);

    static abstract float Host(float a, float b);

    static abstract Vector128<double> Host(Vector128<double> a, Vector128<double> b);

    static abstract Vector128<float> Host(Vector128<float> a, Vector128<float> b);

    static abstract FloatValue Soft(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b);
}

internal readonly struct FloatAdd : IFloatBinary
{
    public static bool ZeroIsExact => true;

    public static double Host(double a, double b) => a + b;

    public static float Host(float a, float b) => a + b;

    public static Vector128<double> Host(Vector128<double> a, Vector128<double> b) => a + b;

    public static Vector128<float> Host(Vector128<float> a, Vector128<float> b) => a + b;

    public static FloatValue Soft(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b) =>
        SoftFloat.Add(ref context, format, a, b);
}

internal readonly struct FloatSubtract : IFloatBinary
{
    public static bool ZeroIsExact => true;

    public static double Host(double a, double b) => a - b;

    public static float Host(float a, float b) => a - b;

    public static Vector128<double> Host(Vector128<double> a, Vector128<double> b) => a - b;

    public static Vector128<float> Host(Vector128<float> a, Vector128<float> b) => a - b;

    public static FloatValue Soft(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b) =>
        SoftFloat.Add(ref context, format, a, b.Negated());
}

internal readonly struct FloatMultiply : IFloatBinary
{
    public static bool ZeroIsExact => false;

    public static double Host(double a, double b) => a * b;

    public static float Host(float a, float b) => a * b;

    public static Vector128<double> Host(Vector128<double> a, Vector128<double> b) => a * b;

    public static Vector128<float> Host(Vector128<float> a, Vector128<float> b) => a * b;

    public static FloatValue Soft(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b) =>
        SoftFloat.Multiply(ref context, format, a, b);
}

internal readonly struct FloatDivide : IFloatBinary
{
    public static bool ZeroIsExact => false;

    public static double Host(double a, double b) => a / b;

    public static float Host(float a, float b) => a / b;

    public static Vector128<double> Host(Vector128<double> a, Vector128<double> b) => a / b;

    public static Vector128<float> Host(Vector128<float> a, Vector128<float> b) => a / b;

    public static FloatValue Soft(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b) =>
        SoftFloat.Divide(ref context, format, a, b);
}
